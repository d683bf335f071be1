import { describe, expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { amountOf, boundsOfThree, pairOf, three, two } from "../../src/data/overlap";
import { encoded } from "../fixture";

/** The same pseudo-random numbers always. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

// Sizes of the seven parts, by which of the three sets (bits) they are in.
type Parts = number[];
const inSet = (parts: Parts, ...sets: number[]) => parts.reduce((sum, size, bits) => (sets.every((set) => bits & (1 << set)) ? sum + size : sum), 0);
const exact = (value: number) => ({ low: value, high: value });
const published = (parts: Parts) => ({
  sizes: [0, 1, 2].map((set) => inSet(parts, set)) as [number, number, number],
  pairs: [inSet(parts, 0, 1), inSet(parts, 0, 2), inSet(parts, 1, 2)] as [number, number, number],
});

describe("three audiences", () => {
  test("the truth is always inside the bounds, also when a pair is only bounded", () => {
    const next = random(3);
    for (let round = 0; round < 3000; round++) {
      const parts = Array.from({ length: 8 }, (_, bits) => (bits ? next(2 + (round % 9)) : 0));
      const { sizes, pairs } = published(parts);
      const between = pairs.map((pair) => (next(2) ? exact(pair) : { low: Math.max(pair - next(4), 0), high: pair + next(4) }));
      const bounds = boundsOfThree(sizes, between as never);
      const truths = [[parts[7]!, bounds.all], [parts[1]!, bounds.alone[0]], [parts[2]!, bounds.alone[1]], [parts[4]!, bounds.alone[2]],
        [parts.reduce((sum, size) => sum + size), bounds.together]] as const; // prettier-ignore
      for (const [truth, { low, high }] of truths) {
        expect(low).toBeLessThanOrEqual(truth);
        expect(high).toBeGreaterThanOrEqual(truth);
      }
    }
  });

  test("with exact pairs the bounds are reached: no tighter ones would be true", () => {
    const next = random(5);
    for (let round = 0; round < 300; round++) {
      const { sizes, pairs } = published(Array.from({ length: 8 }, (_, bits) => (bits ? next(6) : 0)));
      // Every number that all three may share, with what each has alone then.
      const possible: number[][] = [];
      for (let all = 0; all <= Math.min(...pairs); all++) {
        const [ab, ac, bc] = pairs;
        const alone = [sizes[0] - ab - ac + all, sizes[1] - ab - bc + all, sizes[2] - ac - bc + all];
        if (Math.min(...alone) >= 0) possible.push([all, ...alone, sizes[0] + sizes[1] + sizes[2] - ab - ac - bc + all]);
      }
      const bounds = boundsOfThree(sizes, pairs.map(exact) as never);
      [bounds.all, ...bounds.alone, bounds.together].forEach((between, at) => {
        const values = possible.map((row) => row[at]!);
        expect(between).toEqual({ low: Math.min(...values), high: Math.max(...values) });
      });
    }
  });
});

function atlasWith(facts: Record<string, unknown> = {}, kept = 2) {
  const rows = encoded();
  rows.facts = facts;
  rows.published.neighbours_kept = kept;
  return decode(rows);
}

describe("pairs of a page", () => {
  const named = (atlas: ReturnType<typeof atlasWith>, ...names: string[]) => names.map((name) => atlas.channelNamed(name)!);

  test("a pair is found from either end, also when only one of them keeps it", () => {
    const atlas = atlasWith();
    const [anna, bert, dora] = named(atlas, "anna", "bert", "dora");
    expect(amountOf(atlas, anna!, bert!)).toBe(50);
    expect(amountOf(atlas, bert!, dora!)).toBe(7);
    expect(amountOf(atlas, dora!, bert!)).toBe(7);
  });

  test("two audiences split exactly", () => {
    const atlas = atlasWith();
    const [anna, bert] = named(atlas, "anna", "bert");
    expect(two(atlas, anna!, bert!)).toMatchObject({ alone: [exact(250), exact(150)], together: exact(450) });
  });

  test("a pair below the threshold is bounded by it", () => {
    const atlas = atlasWith({ overlap_threshold: 6 }, 50);
    const [bert, cleo] = named(atlas, "bert", "cleo");
    expect(pairOf(atlas, bert!, cleo!)).toMatchObject({ known: false, low: 0, high: 5 });
    expect(two(atlas, bert!, cleo!)).toMatchObject({ alone: [{ low: 195, high: 200 }, { low: 95, high: 100 }] });
  });

  test("a pair below the privacy floor is bounded by the floor when the threshold is lower", () => {
    const atlas = atlasWith({ overlap_threshold: 1 }, 50);
    const [bert, cleo] = named(atlas, "bert", "cleo");
    expect(pairOf(atlas, bert!, cleo!)).toMatchObject({ low: 0, high: 4 });
  });

  test("a pair that may have been cut for space is bounded by the weaker of what both keep", () => {
    // anna and dora have three neighbours each and keep two: 50 and 7 are their weakest.
    const atlas = atlasWith({ overlap_threshold: 1 });
    const [anna, dora] = named(atlas, "anna", "dora");
    expect(pairOf(atlas, anna!, dora!)).toMatchObject({ known: false, high: 7 });
  });

  test("where no neighbour was kept at all, a pair is bounded by the smaller audience", () => {
    const atlas = atlasWith({ overlap_threshold: 1 }, 0);
    const [anna, dora] = named(atlas, "anna", "dora");
    expect(pairOf(atlas, anna!, dora!)).toMatchObject({ known: false, low: 0, high: 10 });
  });

  test("in a list with an unknown threshold, the smaller audience is the bound", () => {
    const atlas = atlasWith({}, 50);
    const [bert, cleo] = named(atlas, "bert", "cleo");
    expect(pairOf(atlas, bert!, cleo!)).toMatchObject({ high: 100 });
  });

  test("an unknown audience leaves nothing to split", () => {
    const atlas = atlasWith();
    const [anna, bert, emil] = named(atlas, "anna", "bert", "emil") as never as [never, never, never];
    expect(two(atlas, anna, emil)).toBeNull();
    expect(three(atlas, [anna, bert, emil])).toBeNull();
  });
});
