/* The Brillouin zone with the path, as lines that are turned by dragging, or by arrow keys. */

const HALF = 150; // of the drawing, in its own units
const TURN = 0.009; // radians for each pixel
const STEP = 0.12; // radians for each key
const BESIDE = 0.12; // how far labels stand outwards from their points, in parts of the zone

class Zone {
  constructor(root) {
    this.svg = drawn('svg', { viewBox: `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`, role: 'img', tabindex: 0 });
    root.prepend(this.svg);
    this.svg.addEventListener('pointerdown', (event) => this.svg.setPointerCapture(event.pointerId));
    this.svg.addEventListener('pointermove', (event) => {
      if (this.svg.hasPointerCapture(event.pointerId)) this.turn(event.movementX * TURN, event.movementY * TURN);
    });
    this.svg.addEventListener('keydown', (event) => {
      const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
      if (!(event.key in turns)) return;
      event.preventDefault();
      event.stopPropagation(); // elsewhere these keys go to other crystals
      this.turn(...turns[event.key]);
    });
  }

  /** Show the zone of a crystal. */
  show(drawing, name) {
    this.zone = drawing.zone;
    this.lines = drawing.branches.map(({ k }) => k.map((place) => this.cartesian(place)));
    this.size = Math.max(...this.zone.edges.flat().map((place) => Math.hypot(...place)));
    this.scale = (0.78 * HALF) / this.size;
    [this.azimuth, this.elevation, this.here] = [0.49, 0.28, null];
    this.svg.setAttribute('aria-label', `Brillouin zone of ${name} with the path ${drawing.ticks.map(([, label]) => label).join(' ')}`);
    this.render();
  }

  /** Mark a k-point, in fractional coordinates; null: none. */
  mark(kpoint) {
    this.here = kpoint && this.cartesian(kpoint);
    this.render();
  }

  cartesian(k) {
    return [0, 1, 2].map((axis) => k.reduce((sum, part, vector) => sum + part * this.zone.reciprocal[vector][axis], 0));
  }

  turn(right, down) {
    this.azimuth -= right;
    this.elevation = Math.max(-1.57, Math.min(1.57, this.elevation + down));
    this.render();
  }

  /** Where a point is drawn, and how near it is to the eye. */
  seen([x, y, z]) {
    const [c, s, ce, se] = [Math.cos(this.azimuth), Math.sin(this.azimuth), Math.cos(this.elevation), Math.sin(this.elevation)];
    const towards = x * c + y * s;
    return [(y * c - x * s) * this.scale, -(z * ce - towards * se) * this.scale, towards * ce + z * se];
  }

  line(start, end, kind) {
    const [[x1, y1, near], [x2, y2, nearer]] = [this.seen(start), this.seen(end)];
    return drawn('line', { class: near + nearer < -1e-9 && kind === 'edge' ? 'edge behind' : kind, x1, y1, x2, y2 });
  }

  text(place, text, kind = '') {
    const [x, y] = this.seen(place);
    return drawn('text', { x, y, class: kind }, text);
  }

  render() {
    const { edges, points, reciprocal } = this.zone;
    const made = edges.map(([start, end]) => this.line(start, end, 'edge'));
    reciprocal.forEach((vector, index) => {
      const length = Math.hypot(...vector);
      const at = (beyond) => vector.map((one) => one * (0.5 + (beyond * this.size) / length));
      made.push(this.line([0, 0, 0], at(0.2), 'vector'), this.text(at(0.3), `b${lowered(String(index + 1))}`, 'vector'));
    });
    made.push(...this.lines.map(([start, end]) => this.line(start, end, 'path')));
    const middle = [0, 1, 2].map((axis) => points.reduce((sum, [, place]) => sum + place[axis] / points.length, 0));
    for (const [label, place] of points) {
      const [cx, cy] = this.seen(place);
      const outward = Math.hypot(...place) > 1e-6 ? place : middle.map((one) => -one);
      const size = Math.hypot(...outward) || 1;
      made.push(drawn('circle', { class: 'point', cx, cy, r: 3.4 }));
      made.push(this.text(place.map((one, axis) => one + (BESIDE * this.size * outward[axis]) / size), prettyLabel(label)));
    }
    if (this.here) {
      const [cx, cy] = this.seen(this.here);
      made.push(drawn('circle', { class: 'here', cx, cy, r: 6.5 }));
    }
    this.svg.replaceChildren(...made);
  }
}
