import { isIP } from 'node:net';

const isAddress = (text: string): boolean => isIP(text) !== 0;
const isPort = (text: string): boolean => /^[0-9]{1,5}$/.test(text);
const isProtocol = (text: string): boolean => /^(tcp|udp|sctp)$/.test(text);

/** `tcp://10.0.0.11:6379`, or with an IPv6 address `tcp://[fd00::1]:6379`. */
function isUrl(text: string): boolean {
  const [, protocol = '', bracketed, plain = '', port = ''] =
    /^([a-z]+):\/\/(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text) ?? [];
  return isProtocol(protocol) && isAddress(bracketed ?? plain) && isPort(port);
}

const service = '^WORKER(?:_[A-Z0-9]+)*';
const portAndProtocol = `${service}_PORT_[0-9]+_(?:TCP|UDP|SCTP)`;

/** The variables that Kubernetes sets for a Service whose name starts with `worker`, and the form of their values. */
const forms: readonly (readonly [name: RegExp, fits: (value: string) => boolean])[] = [
  [new RegExp(`${service}_SERVICE_HOST$`), isAddress],
  [new RegExp(`${service}_SERVICE_PORT(?:_[A-Z0-9_]+)?$`), isPort],
  [new RegExp(`${service}_PORT$`), isUrl],
  [new RegExp(`${portAndProtocol}$`), isUrl],
  [new RegExp(`${portAndProtocol}_PROTO$`), isProtocol],
  [new RegExp(`${portAndProtocol}_PORT$`), isPort],
  [new RegExp(`${portAndProtocol}_ADDR$`), isAddress],
];

/** Whether a variable has the name and a value of a Kubernetes service link. It is then not a setting. */
export const isServiceLink = (name: string, value: string): boolean =>
  forms.some(([pattern, fits]) => pattern.test(name) && fits(value));

/** Whether the name alone has the form of a service link. No setting may have such a name. */
export const isServiceLinkName = (name: string): boolean => forms.some(([pattern]) => pattern.test(name));
