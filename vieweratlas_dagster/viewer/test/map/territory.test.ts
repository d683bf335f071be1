import { expect, test } from "vitest";
import type { Ring } from "../../src/map/contour";
import { buildTerritory, type Place } from "../../src/map/territory";

function inside(outlines: Ring[], x: number, y: number): boolean {
  let crossings = 0;
  for (const ring of outlines) {
    for (let at = 0; at < ring.length; at += 2) {
      const next = (at + 2) % ring.length;
      const [y0, y1] = [ring[at + 1]!, ring[next + 1]!];
      if (y0 > y !== y1 > y && x < ring[at]! + ((y - y0) / (y1 - y0)) * (ring[next]! - ring[at]!)) crossings++;
    }
  }
  return crossings % 2 === 1;
}

/** Three clusters; the first two are neighbours in one region, the third is a second region far away. */
function planted(): Place[] {
  let seed = 5;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
  const cluster = (community: number, x: number, y: number): Place[] =>
    Array.from({ length: 60 }, () => ({ x: x + 0.3 * random(), y: y + 0.3 * random(), community }));
  return [...cluster(0, -0.5, 0), ...cluster(1, -0.15, 0), ...cluster(2, 0.7, 0.2), { x: 0, y: -0.95, community: -1 }];
}

test("channels stand on their own community's and region's land, the lone one on none", () => {
  const places = planted();
  const land = buildTerritory(places, 3, [0, 0, 1], 2);
  const settled = places.filter((place) => place.community >= 0);
  const home = settled.filter((place) => inside(land.provinces[place.community]!, place.x, place.y));
  const country = settled.filter((place) => inside(land.countries[place.community < 2 ? 0 : 1]!, place.x, place.y));
  expect(home.length).toBeGreaterThan(0.95 * settled.length);
  expect(country).toHaveLength(settled.length);
  expect(inside(land.depths.at(-1)!, 0, -0.95)).toBe(false);
});

test("names stand on the land they name, and larger land has the larger area", () => {
  const land = buildTerritory(planted(), 3, [0, 0, 1], 2);
  land.provinceAnchors.forEach((anchor, at) => expect(inside(land.provinces[at]!, anchor!.x, anchor!.y)).toBe(true));
  land.countryAnchors.forEach((anchor, at) => expect(inside(land.countries[at]!, anchor!.x, anchor!.y)).toBe(true));
  expect(land.countryAnchors[0]!.area).toBeGreaterThan(1.5 * land.countryAnchors[1]!.area);
});

test("without a settled channel there is no land; a community without channels gets no anchor", () => {
  const empty = buildTerritory([{ x: 0, y: 0, community: -1 }], 1, [0], 1);
  expect(empty.depths.flat()).toEqual([]);
  expect(empty.provinceAnchors).toEqual([null]);
  const one = buildTerritory([{ x: 0.2, y: 0.3, community: 1 }], 2, [0, 0], 1);
  expect(one.provinceAnchors[0]).toBeNull();
  expect(inside(one.provinces[1]!, 0.2, 0.3)).toBe(true);
});
