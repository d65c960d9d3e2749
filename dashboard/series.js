// The metrics of a run as they are known so far: by name and step, so that what is heard twice, as
// after a lost connection, is there once.

const AXES = ["step", "words_seen", "time"];

export class Series {
  constructor() {
    this.places = new Map(); // step -> { words_seen, time } where it was measured
    this.values = new Map(); // name -> Map(step -> value)
    this.sorted = new Map();
  }

  get names() {
    return [...this.values.keys()];
  }

  // What GET /v1/jobs/ID/metrics answered.
  merge(series) {
    for (const [name, data] of Object.entries(series)) {
      const points = this.pointsOf(name);
      data.step.forEach((step, index) => {
        points.set(step, data.value[index]);
        this.place(step, data.words_seen[index], data.time[index]);
      });
    }
  }

  // A `metrics` event.
  add({ data, time }) {
    this.place(data.step, data.words_seen, time);
    for (const [name, value] of Object.entries(data.values)) this.pointsOf(name).set(data.step, value);
  }

  pointsOf(name) {
    if (!this.values.has(name)) this.values.set(name, new Map());
    this.sorted.delete(name);
    return this.values.get(name);
  }

  place(step, words, time) {
    this.places.set(step, { words_seen: words, time: new Date(time).getTime() / 1000 });
  }

  // The points of one metric in order: steps, x in the units of the axis, y.
  line(name, axis) {
    console.assert(AXES.includes(axis));
    let steps = this.sorted.get(name);
    if (!steps) {
      steps = [...(this.values.get(name) ?? new Map()).keys()].sort((a, b) => a - b);
      this.sorted.set(name, steps);
    }
    const points = this.values.get(name);
    const x = axis === "step" ? steps : steps.map((step) => this.places.get(step)[axis]);
    const y = steps.map((step) => points.get(step));
    if (axis !== "time") return { x, y };
    // A run that was set back repeats steps later: by time, they must be in the order of time.
    const order = x.map((_, index) => index).sort((a, b) => x[a] - x[b]);
    const start = order.length ? x[order[0]] : 0;
    this.start = Math.min(this.start ?? start, start);
    return { x: order.map((index) => x[index] - this.start), y: order.map((index) => y[index]) };
  }

  last(name) {
    const { y } = this.line(name, "step");
    return y.length ? y.at(-1) : null;
  }
}

// An exponential mean from both sides, so that the curve is not late; `weight` is from 0 (the points
// themselves) to 1.
export function smoothed(values, weight) {
  if (!weight) return values;
  const forward = oneSided(values, weight);
  const backward = oneSided([...values].reverse(), weight).reverse();
  return values.map((value, index) => (value === null || value === undefined ? value : (forward[index] + backward[index]) / 2));
}

function oneSided(values, weight) {
  let mean = 0;
  let seen = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return value;
    mean = mean * weight + value * (1 - weight);
    seen += 1;
    return mean / (1 - weight ** seen);
  });
}

// A factor that is as strong on few points as on many: the mean reaches over a share of the curve.
export function weightFor(strength, length) {
  if (!strength || length < 3) return 0;
  const reach = Math.max(1, strength * 0.12 * length);
  return 1 - 1 / (1 + reach);
}
