/* The search box: words that all have to be found, elements, and conditions on columns. */

const ELEMENTS = new Set(('H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo '
  + 'Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr '
  + 'Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og').split(' '));
const SIGNS = {
  '>=': (a, b) => a >= b, '<=': (a, b) => a <= b, '!=': (a, b) => a !== b, '>': (a, b) => a > b, '<': (a, b) => a < b, '=': (a, b) => a === b,
};

/** Searches the rows of a table. */
class Search {
  constructor(columns) {
    this.columns = columns;
    this.texts = null;
    this.formulas = columns.find((column) => column.name === 'formula')?.values ?? null;
    // the folder of a crystal would be found in every row; of a failure the file is what is looked for
    this.worded = columns.filter((column) => ['text', 'words'].includes(column.kind) && !(column.name === 'path' && this.formulas));
  }

  /** Understand what was typed: which rows it wants, or what is wrong with it. */
  parsed(text) {
    const tests = [];
    let problem = '';
    for (const found of text.match(/(?:"[^"]*"|[^\s"])+/g) ?? []) {
      const without = found.length > 1 && found.startsWith('-');
      const test = this.term(without ? found.slice(1) : found);
      if (typeof test === 'string') problem = test;
      else tests.push(without ? (row) => !test(row) : test);
    }
    return { matches: (row) => tests.every((test) => test(row)), problem, all: tests.length === 0 };
  }

  term(given) {
    const condition = /^("[^"]*"|[^<>=!"]+)(>=|<=|!=|==?|>|<)("[^"]*"|[^"]*)$/.exec(given);
    if (condition) return this.condition(...condition.slice(1).map((part) => part.replaceAll('"', '')));
    const word = given.replaceAll('"', '');
    if (this.formulas && ELEMENTS.has(word)) {
      const symbol = new RegExp(`${word}(?![a-z])`);
      return (row) => symbol.test(this.formulas[row]);
    }
    const low = word.toLowerCase();
    return (row) => this.text(row).includes(low);
  }

  condition(name, sign, given) {
    const column = this.column(name);
    if (!column) return `no column ${name}`;
    const compare = SIGNS[sign === '==' ? '=' : sign];
    const wanted = given.toLowerCase();
    if (wanted === 'none') return (row) => compare((column.values[row] ?? []).length === 0, true);
    if (column.kind === 'truth') {
      const truth = ['yes', 'true'].includes(wanted);
      if (!truth && !['no', 'false'].includes(wanted)) return `${column.title} is yes or no`;
      return (row) => column.values[row] !== null && compare(Boolean(column.values[row]), truth);
    }
    if (column.numeric) {
      const number = given === '' ? NaN : Number(given);
      if (Number.isNaN(number)) return `${column.title} is a number`;
      return (row) => column.values[row] !== null && compare(Number(column.values[row]), number);
    }
    if (sign !== '=' && sign !== '==' && sign !== '!=') return `${column.title} is no number`;
    if (column.kind === 'words') {
      const words = (row) => column.values[row].map((word) => word.toLowerCase());
      return (row) => compare(words(row).some((word) => [word, word.split(':')[0]].includes(wanted)), true);
    }
    return (row) => column.values[row] !== null && compare(column.values[row].toLowerCase(), wanted);
  }

  /** A column by its name or title, or what either begins with. */
  column(name) {
    const low = name.toLowerCase();
    const names = (column) => [column.name.toLowerCase(), column.title.toLowerCase()];
    return this.columns.find((column) => names(column).includes(low))
      ?? this.columns.find((column) => names(column).some((one) => one.startsWith(low)));
  }

  /** All that words are looked for in, of one row. */
  text(row) {
    this.texts ??= new Array(this.columns[0].values.length);
    return (this.texts[row] ??= this.worded
      .map((column) => (column.kind === 'words' ? column.values[row].join(' ') : column.values[row] ?? ''))
      .join('\n').toLowerCase());
  }
}
