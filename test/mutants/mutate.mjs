import ts from 'typescript';

const K = ts.SyntaxKind;

/** The replacements of each operator. */
const operators = new Map([
  [K.LessThanToken, ['<=', '>=']],
  [K.LessThanEqualsToken, ['<', '>']],
  [K.GreaterThanToken, ['>=', '<=']],
  [K.GreaterThanEqualsToken, ['>', '<']],
  [K.EqualsEqualsEqualsToken, ['!==']],
  [K.ExclamationEqualsEqualsToken, ['===']],
  [K.AmpersandAmpersandToken, ['||']],
  [K.BarBarToken, ['&&']],
  [K.QuestionQuestionToken, ['&&']],
  [K.PlusToken, ['-']],
  [K.MinusToken, ['+']],
  [K.AsteriskToken, ['/']],
  [K.SlashToken, ['*']],
  [K.PercentToken, ['*']],
  [K.PlusEqualsToken, ['-=']],
  [K.MinusEqualsToken, ['+=']],
]);

/** Mutants of these operators must all be killed. */
const comparisons = new Set(['<', '<=', '>', '>=', '===', '!==']);

const methods = new Map(
  Object.entries({ every: 'some', some: 'every', max: 'min', min: 'max', ceil: 'floor', floor: 'ceil' }),
);

/**
 * All mutants of a source file: position, original text and replacement. Swaps operators, fixes conditions, inverts boolean
 * literals and removes statements.
 */
export function mutantsOf(file, source) {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.ES2023, true);
  const mutants = [];
  const visit = (node) => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node)) return;
    for (const [target, to] of replacementsOf(node, tree)) {
      const start = target.getStart(tree);
      const from = target.getText(tree);
      const line = tree.getLineAndCharacterOfPosition(start).line + 1;
      mutants.push({ file, line, start, end: target.getEnd(), from, to, comparison: comparisons.has(from) });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return mutants;
}

/** Pairs of a node and its replacement text, for the mutants of one syntax node. */
function replacementsOf(node, tree) {
  if (ts.isBinaryExpression(node)) {
    return (operators.get(node.operatorToken.kind) ?? []).map((to) => [node.operatorToken, to]);
  }
  if (ts.isPrefixUnaryExpression(node) && node.operator === K.ExclamationToken) {
    return [[node, node.operand.getText(tree)]];
  }
  if (ts.isPostfixUnaryExpression(node)) {
    return [[node, `${node.operand.getText(tree)}${node.operator === K.PlusPlusToken ? '--' : '++'}`]];
  }
  if (node.kind === K.TrueKeyword) return [[node, 'false']];
  if (node.kind === K.FalseKeyword) return [[node, 'true']];
  if (ts.isIfStatement(node)) return ['true', 'false'].map((to) => [node.expression, to]);
  if (ts.isConditionalExpression(node)) return ['true', 'false'].map((to) => [node.condition, to]);
  if (ts.isPropertyAccessExpression(node) && methods.has(node.name.text)) {
    return [[node.name, methods.get(node.name.text)]];
  }
  if (ts.isExpressionStatement(node)) return [[node, ';']];
  return [];
}

/** The file with one mutant applied, compiled to JavaScript. */
export function compileMutant(source, { start, end, to }, compilerOptions) {
  const changed = source.slice(0, start) + to + source.slice(end);
  // transpileModule sees one file and cannot detect the module format.
  return ts.transpileModule(changed, { compilerOptions: { ...compilerOptions, module: ts.ModuleKind.ESNext } })
    .outputText;
}
