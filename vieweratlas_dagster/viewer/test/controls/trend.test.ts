import { expect, test } from "vitest";
import { inWords, runs } from "../../src/controls/trend";
import type { Seen } from "../../src/data/earlier-days";

const days = (...viewers: (number | null | "away")[]): Seen[] =>
  viewers.map((value, at) => ({ day: `2026-01-0${at + 1}`, on: value !== "away", viewers: value === "away" ? null : value }));

test("the line breaks where nothing is known, and rises with the audience", () => {
  const [first, second] = runs(days(100, 50, "away", 200, null));
  expect(first!.map(({ viewers }) => viewers)).toEqual([100, 50]);
  expect(second!.map(({ viewers }) => viewers)).toEqual([200]);
  expect(second![0]!.y).toBe(5);
  expect(first![0]!.y).toBe(5 + 54 / 2);
  expect(first![0]!.x).toBe(5);
  expect(first![1]!.x).toBe(5 + 310 / 4);
  expect(runs(days("away", null))).toEqual([]);
  expect(runs(days(0))[0]![0]!.y).toBe(59);
});

test("the words say first, last, lowest, highest, and the days it was away", () => {
  expect(inWords(days(100, 50, "away", 2000))).toBe(
    "From 100 on 1 Jan 2026 to 2,000 viewers on 4 Jan 2026; lowest 50 (2 Jan 2026), highest 2,000 (4 Jan 2026). It was not on the map on 1 of 4 days.",
  );
  expect(inWords(days("away", 7))).toBe("7 viewers on 2 Jan 2026. It was not on the map on 1 of 2 days.");
  expect(inWords(days(null, null))).toBe("Its audience is not known on any of these days.");
});
