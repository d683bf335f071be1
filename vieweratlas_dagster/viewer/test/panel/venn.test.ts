import { expect, test } from "vitest";
import { lensArea, venn } from "../../src/panel/venn";

/** The lens by counting points of a fine grid. */
function counted([one, other]: [number, number], distance: number): number {
  const step = 0.002 * Math.max(one, other);
  let inside = 0;
  for (let x = -one; x < one; x += step) {
    for (let y = -one; y < one; y += step) {
      if (Math.hypot(x, y) < one && Math.hypot(x - distance, y) < other) inside++;
    }
  }
  return inside * step * step;
}

test.each([
  [[1, 1], 1],
  [[1, 0.5], 0.9],
  [[0.5, 1], 0.6],
  [[1, 0.3], 0.75],
] as [[number, number], number][])("the lens of radii %j at %d is as large as counted", (radii, distance) => {
  expect(lensArea(radii, distance)).toBeCloseTo(counted(radii, distance), 2);
});

test("circles apart share nothing, a circle inside shares itself", () => {
  expect(lensArea([1, 2], 3.1)).toBe(0);
  expect(lensArea([1, 2], 0.5)).toBeCloseTo(Math.PI);
});

test.each([
  [[932_473, 366_658], 156_201],
  [[500, 500], 250],
  [[1_000_000, 12], 5],
  [[300, 200], 200],
  [[300, 300], 300],
  [[40, 30], 0],
] as [[number, number], number][])("areas for %j sharing %d are in proportion", (sizes, shared) => {
  const { radii, distance } = venn(sizes, shared, 80);
  expect(Math.max(...radii)).toBeCloseTo(80);
  const viewers = (Math.PI * radii[0] ** 2) / sizes[0];
  expect((Math.PI * radii[1] ** 2) / viewers).toBeCloseTo(sizes[1], 6);
  expect(Math.abs(lensArea(radii, distance) / viewers - shared)).toBeLessThan(1e-6 * Math.max(...sizes));
});
