import { expect, test } from "vitest";
import { type Field, type Ring, rings } from "../../src/map/contour";

function field(width: number, height: number, value: (x: number, y: number) => number): Field {
  const values = Float32Array.from({ length: width * height }, (_, at) => value(at % width, Math.floor(at / width)));
  return { left: 10, top: 20, width, height, values };
}

/** Signed: outer rings and holes have opposite signs. */
function area(ring: Ring): number {
  let sum = 0;
  for (let at = 0; at < ring.length; at += 2) {
    const next = (at + 2) % ring.length;
    sum += ring[at]! * ring[next + 1]! - ring[next]! * ring[at + 1]!;
  }
  return sum / 2;
}

test("a disc has one ring of its area, in the larger grid's place", () => {
  const found = rings(field(60, 60, (x, y) => 20 - Math.hypot(x - 30, y - 30)));
  expect(found).toHaveLength(1);
  expect(Math.abs(area(found[0]!))).toBeCloseTo(Math.PI * 400, -1);
  const xs = found[0]!.filter((_, at) => at % 2 === 0);
  expect(Math.min(...xs)).toBeCloseTo(20, 1);
  expect(Math.max(...xs)).toBeCloseTo(60, 1);
});

test("a hole runs the other way", () => {
  const found = rings(field(60, 60, (x, y) => 6 - Math.abs(Math.hypot(x - 30, y - 30) - 15)));
  const areas = found.map(area).sort((one, other) => Math.abs(other) - Math.abs(one));
  expect(areas).toHaveLength(2);
  expect(Math.sign(areas[0]!)).toBe(-Math.sign(areas[1]!));
  expect(Math.abs(areas[0]! + areas[1]!)).toBeCloseTo(Math.PI * (21 ** 2 - 9 ** 2), -1.5);
});

test("land up to the border of the grid still closes", () => {
  const found = rings(field(8, 5, () => 1));
  expect(found).toHaveLength(1);
  expect(Math.abs(area(found[0]!))).toBeGreaterThan(7 * 4 - 1);
});

test("open sea gives no ring", () => {
  expect(rings(field(8, 5, () => -1))).toEqual([]);
});
