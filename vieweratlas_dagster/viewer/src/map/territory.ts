/**
 * The land of the map: communities as provinces, regions as countries, and the coast.
 *
 * Every channel of a community raises the ground around it by a Gaussian bump. Ground above a
 * threshold is land; it belongs to the community whose own bumps are highest there. A smooth warp
 * of the plane, the same on every run, makes borders look drawn rather than computed: the shapes
 * of coasts and borders mean nothing beyond which channels are inside.
 */
import { type Field, type Ring, rings } from "./contour";
import { clamp } from "./limits";

export interface Place {
  x: number;
  y: number;
  /** Position of its community; -1 without one. */
  community: number;
}

/** The place of a name in map coordinates, and the area of the named land. */
export interface Anchor {
  x: number;
  y: number;
  area: number;
}

/** All rings are in map coordinates. */
export interface Territory {
  /** From the outermost depth line to the coast. */
  depths: Ring[][];
  provinces: Ring[][];
  countries: Ring[][];
  provinceAnchors: (Anchor | null)[];
  countryAnchors: (Anchor | null)[];
}

const CELLS = 360;
const COAST = 0.32;
const DEPTHS = [0.05, 0.14, COAST];
const REACH = 3.2;

/** Smooth noise on the plane, about -1 to 1, the same on every machine and run. */
function noise(x: number, y: number, seed: number): number {
  const corner = (i: number, j: number) => {
    let hash = Math.imul(i, 374761393) ^ Math.imul(j, 668265263) ^ Math.imul(seed, 1274126177);
    hash = Math.imul(hash ^ (hash >>> 13), 1103515245);
    return ((hash ^ (hash >>> 16)) >>> 0) / 2147483648 - 1;
  };
  const [i, j] = [Math.floor(x), Math.floor(y)];
  const ease = (t: number) => t * t * (3 - 2 * t);
  const [u, v] = [ease(x - i), ease(y - j)];
  const top = corner(i, j) * (1 - u) + corner(i + 1, j) * u;
  const bottom = corner(i, j + 1) * (1 - u) + corner(i + 1, j + 1) * u;
  return top * (1 - v) + bottom * v;
}

/** The width of a bump, in proportion to the spacing of the channels. */
function bumpWidth(places: Place[], extent: number): number {
  const spacing = extent / Math.sqrt(places.length);
  return Math.min(Math.max(0.62 * spacing, 0.009 * extent), 0.045 * extent);
}

export function buildTerritory(all: Place[], communities: number, regionOf: number[], regions: number): Territory {
  const places = all.filter((place) => place.community >= 0);
  const empty: Territory = {
    depths: [],
    provinces: Array.from({ length: communities }, () => []),
    countries: Array.from({ length: regions }, () => []),
    provinceAnchors: Array.from({ length: communities }, () => null),
    countryAnchors: Array.from({ length: regions }, () => null),
  };
  if (!places.length) return empty;

  const [minX, maxX] = range(places.map((place) => place.x));
  const [minY, maxY] = range(places.map((place) => place.y));
  const extent = Math.max(maxX - minX, maxY - minY) || 1;
  const bump = bumpWidth(places, extent);
  const margin = (REACH + 1.5) * bump;
  const cell = (extent + 2 * margin) / CELLS;
  const width = Math.ceil((maxX - minX + 2 * margin) / cell) + 1;
  const height = Math.ceil((maxY - minY + 2 * margin) / cell) + 1;
  const [left, top] = [minX - margin, minY - margin];

  // Each cell's warped position, in cells.
  const warpX = new Float32Array(width * height);
  const warpY = new Float32Array(width * height);
  const wave = bump / cell;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const [u, v] = [x / wave, y / wave];
      warpX[at] = x + wave * (0.42 * noise(u / 3, v / 3, 1) + 0.2 * noise(u, v, 2));
      warpY[at] = y + wave * (0.42 * noise(u / 3, v / 3, 3) + 0.2 * noise(u, v, 4));
    }
  }

  const ground = new Float32Array(width * height);
  const best = new Float32Array(width * height);
  const second = new Float32Array(width * height);
  const owner = new Int32Array(width * height).fill(-1);
  const own: (Field | null)[] = [];
  const reach = REACH * wave;
  const members: Place[][] = Array.from({ length: communities }, () => []);
  for (const place of places) members[place.community]!.push(place);

  members.forEach((group, community) => {
    if (!group.length) {
      own.push(null);
      return;
    }
    const xs = group.map((place) => (place.x - left) / cell);
    const ys = group.map((place) => (place.y - top) / cell);
    const [x0, x1] = range(xs).map((x, side) => clamp(side ? Math.ceil(x + reach) : Math.floor(x - reach), 0, width - 1)) as [number, number];
    const [y0, y1] = range(ys).map((y, side) => clamp(side ? Math.ceil(y + reach) : Math.floor(y - reach), 0, height - 1)) as [number, number];
    const field: Field = { left: x0, top: y0, width: x1 - x0 + 1, height: y1 - y0 + 1, values: new Float32Array((x1 - x0 + 1) * (y1 - y0 + 1)) };
    group.forEach((_, at) => {
      const [px, py] = [xs[at]!, ys[at]!];
      for (let y = Math.max(y0, Math.floor(py - reach)); y <= Math.min(y1, py + reach); y++) {
        for (let x = Math.max(x0, Math.floor(px - reach)); x <= Math.min(x1, px + reach); x++) {
          const [dx, dy] = [warpX[y * width + x]! - px, warpY[y * width + x]! - py];
          field.values[(y - y0) * field.width + x - x0]! += Math.exp(-(dx * dx + dy * dy) / (2 * wave * wave));
        }
      }
    });
    each(field, width, (value, at) => {
      ground[at]! += value;
      if (value > best[at]!) {
        second[at] = best[at]!;
        best[at] = value;
        owner[at] = community;
      } else if (value > second[at]!) second[at] = value;
    });
    own.push(field);
  });

  const toMap = (ring: Ring) => ring.map((value, at) => (at % 2 ? top : left) + value * cell);
  const outline = (field: Field) => rings(field).map(toMap);
  const whole = (values: Float32Array): Field => ({ left: 0, top: 0, width, height, values });

  const provinces = own.map((field, community) => {
    if (!field) return [];
    const lead = { ...field, values: new Float32Array(field.values.length) };
    each(field, width, (value, at, inside) => {
      const other = owner[at] === community ? second[at]! : best[at]!;
      lead.values[inside] = Math.min(value - other, ground[at]! - COAST);
    });
    return outline(lead);
  });

  const countryOwner = owner.map((community, at) =>
    community >= 0 && ground[at]! > COAST ? (regionOf[community] ?? -1) : -1,
  );
  const countries: Ring[][] = [];
  for (let region = 0; region < regions; region++) {
    const inside = new Float32Array(width * height);
    const rival = new Float32Array(width * height);
    own.forEach((field, community) => {
      if (!field) return;
      const into = regionOf[community] === region ? inside : rival;
      each(field, width, (value, at) => {
        if (value > into[at]!) into[at] = value;
      });
    });
    countries.push(outline(whole(inside.map((value, at) => (value > 0 ? Math.min(value - rival[at]!, ground[at]! - COAST) : -1)))));
  }

  const land = owner.map((community, at) => (ground[at]! > COAST ? community : -1));
  const anchors = (owners: Int32Array, groups: number) =>
    labelCells(owners, width, height, groups).map(
      (found) => found && { x: left + found.x * cell, y: top + found.y * cell, area: found.cells * cell * cell },
    );
  return {
    depths: DEPTHS.map((depth) => outline(whole(ground.map((value) => value - depth)))),
    provinces,
    countries,
    provinceAnchors: anchors(land, communities),
    countryAnchors: anchors(countryOwner, regions),
  };
}

function each(field: Field, width: number, visit: (value: number, at: number, inside: number) => void): void {
  for (let y = 0, inside = 0; y < field.height; y++) {
    let at = (y + field.top) * width + field.left;
    for (let x = 0; x < field.width; x++, at++, inside++) visit(field.values[inside]!, at, inside);
  }
}

/**
 * For each owner, a cell deep inside its land and near the land's middle, and its number of cells.
 *
 * Depth is the city-block distance to other land (two passes).
 */
export function labelCells(owners: Int32Array, width: number, height: number, groups: number) {
  const depth = new Float32Array(width * height);
  const same = (at: number, other: number) => owners[at] === owners[other];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const inner = x > 0 && y > 0 && same(at, at - 1) && same(at, at - width);
      depth[at] = inner ? Math.min(depth[at - 1]!, depth[at - width]!) + 1 : 0;
    }
  }
  for (let y = height - 1, at = width * height - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, at--) {
      const inner = x < width - 1 && y < height - 1 && same(at, at + 1) && same(at, at + width);
      depth[at] = inner ? Math.min(depth[at]!, depth[at + 1]! + 1, depth[at + width]! + 1) : 0;
    }
  }
  const sums = Array.from({ length: groups }, () => ({ x: 0, y: 0, cells: 0 }));
  owners.forEach((group, at) => {
    const sum = sums[group];
    if (!sum) return;
    sum.x += at % width;
    sum.y += Math.floor(at / width);
    sum.cells++;
  });
  const found: ({ x: number; y: number; cells: number; score: number } | null)[] = sums.map(() => null);
  owners.forEach((group, at) => {
    const sum = sums[group];
    if (!sum) return;
    const [x, y] = [at % width, Math.floor(at / width)];
    const score = depth[at]! - 0.4 * Math.hypot(x - sum.x / sum.cells, y - sum.y / sum.cells);
    const known = found[group];
    if (!known || score > known.score) found[group] = { x, y, cells: sum.cells, score };
  });
  return found;
}

function range(values: number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}
