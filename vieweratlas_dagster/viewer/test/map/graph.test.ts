import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { buildGraph, radii, radius } from "../../src/map/graph";
import type { Colors } from "../../src/map/theme";
import { encoded } from "../fixture";

const colors: Colors = {
  sea: "#dddddd", shallows: [], paper: "#ffffff", ink: "#000000", muted: "#777777",
  halo: "#ffffff", accent: "#006666", marks: [], lone: "#999999", dark: false,
};

test("a disc's area grows with the audience, between the limits", () => {
  expect(radius(400, 400, [1, 20])).toBe(20);
  expect(radius(100, 400, [1, 20])).toBe(10);
  expect(radius(0.01, 400, [1, 20])).toBe(1);
  expect(radius(null, 400, [1, 20])).toBe(1);
});

test("more channels on the same screen get smaller discs", () => {
  const sizes = [10, 200, 2000, 20000].map((channels) => radii(channels, 1440 * 840));
  for (let at = 1; at < sizes.length; at++) {
    expect(sizes[at]![0]).toBeLessThanOrEqual(sizes[at - 1]![0]);
    expect(sizes[at]![1]).toBeLessThanOrEqual(sizes[at - 1]![1]);
  }
});

test("channels take their community's colour, the lone one the colour for it", () => {
  const graph = buildGraph(decode(encoded()), 10000, colors);
  expect(graph.mapNodes((_, node) => node.color)).toEqual(["#aa1111", "#aa1111", "#aa2222", "#11aa11", "#999999"]);
});

test("without any audience the number of neighbours gives the size", () => {
  const rows = encoded();
  rows.channels.viewers = rows.channels.viewers.map(() => null);
  const graph = buildGraph(decode(rows), 10000, colors);
  const sizes = graph.mapNodes((_, node) => node.size);
  expect(sizes[0]).toBe(Math.max(...sizes));
  expect(sizes[4]).toBe(Math.min(...sizes));
  expect(sizes[1]! / sizes[0]!).toBeCloseTo(Math.sqrt(2 / 3));
});
