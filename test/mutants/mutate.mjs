import ts from 'typescript';

const K = ts.SyntaxKind;

/** What each operator is changed into. Comparisons first: none of those may survive. */
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

const comparisons = new Set(['<', '<=', '>', '>=', '===', '!==']);
const methods = new Map(
  Object.entries({ every: 'some', some: 'every', max: 'min', min: 'max', ceil: 'floor', floor: 'ceil' }),
);

/**
 * Every mutant of one source file: where, what stands there, and what is put in its place. Operators are swapped,
 * conditions fixed, literals of truth turned round, statements left out.
 */
export function mutantsOf(file, source) {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.ES2023, true);
  const mutants = [];
  const put = (node, to, comparison = false) => {
    const start = node.getStart(tree);
    const line = tree.getLineAndCharacterOfPosition(start).line + 1;
    mutants.push({ file, line, start, end: node.getEnd(), from: node.getText(tree), to, comparison });
  };
  const visit = (node) => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node)) return;
    if (ts.isBinaryExpression(node)) {
      const from = node.operatorToken.getText(tree);
      for (const to of operators.get(node.operatorToken.kind) ?? []) put(node.operatorToken, to, comparisons.has(from));
    }
    if (ts.isPrefixUnaryExpression(node) && node.operator === K.ExclamationToken) put(node, node.operand.getText(tree));
    if (ts.isPostfixUnaryExpression(node)) {
      const swapped = node.operator === K.PlusPlusToken ? '--' : '++';
      put(node, `${node.operand.getText(tree)}${swapped}`);
    }
    if (node.kind === K.TrueKeyword) put(node, 'false');
    if (node.kind === K.FalseKeyword) put(node, 'true');
    if (ts.isIfStatement(node)) for (const to of ['true', 'false']) put(node.expression, to);
    if (ts.isConditionalExpression(node)) for (const to of ['true', 'false']) put(node.condition, to);
    if (ts.isPropertyAccessExpression(node) && methods.has(node.name.text)) put(node.name, methods.get(node.name.text));
    if (ts.isExpressionStatement(node)) put(node, ';');
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return mutants;
}

/** The file with one mutant in it, as JavaScript. */
export function apply(source, { start, end, to }, compilerOptions) {
  const changed = source.slice(0, start) + to + source.slice(end);
  // One file alone does not tell what kind of module it is; all of ours are the same.
  return ts.transpileModule(changed, { compilerOptions: { ...compilerOptions, module: ts.ModuleKind.ESNext } })
    .outputText;
}
