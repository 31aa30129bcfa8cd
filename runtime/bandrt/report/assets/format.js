/* Values as text: on the page, and in exported tables. */

const NONE = '–';
const SUBSCRIPTS = '₀₁₂₃₄₅₆₇₈₉';

/** A value of a column, as the page shows it. */
function shown(value, column) {
  if (value === null) return NONE;
  if (column.kind === 'truth') return value ? 'yes' : 'no';
  if (column.kind === 'words') return value.join(', ');
  return typeof value === 'number' && column.decimals !== null ? value.toFixed(column.decimals) : String(value);
}

const lowered = (digits) => [...digits].map((digit) => SUBSCRIPTS[digit]).join('');

/** A formula with subscripts. */
const prettyFormula = (formula) => formula.replace(/\d+/g, lowered);

/** The name of a k-point as it is printed: X₁ for X_1, X′ for X'. */
const prettyLabel = (label) => label.replace(/_(\d+)/g, (all, digits) => lowered(digits)).replaceAll('_', '').replaceAll("'", '′');

/** A space group: 3̅ for -3, 2₁ for 2_1. */
const prettySymbol = (symbol) => symbol.replace(/-(\d)/g, '$1\u0305').replace(/_(\d)/g, (all, digit) => lowered(digit));

/** A value as a cell of CSV, as `bandrt` writes them: no spreadsheet computes a text. */
function cell(value, column) {
  if (value === null) return '';
  let text = column.kind === 'truth' ? String(Boolean(value)) : column.kind === 'words' ? value.join(';') : String(value);
  if (column.kind !== 'number' && /^[=+\-@\t\r']/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Some rows of a table as CSV. */
function csv(columns, rows) {
  const head = columns.map((column) => cell(column.name, { kind: 'text' })).join(',');
  const lines = Array.from(rows, (row) => columns.map((column) => cell(column.values[row], column)).join(','));
  return [head, ...lines].join('\n') + '\n';
}

/** Hand a text to the user as a file. */
function download(text, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** An element with a class and text, which is never HTML. */
function element(name, text = '', kind = '') {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/** An element of SVG with attributes. */
function drawn(name, attributes, text = '') {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}
