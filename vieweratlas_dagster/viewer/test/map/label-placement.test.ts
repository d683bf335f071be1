import { expect, test } from "vitest";
import { type Box, meet, place, type Wish } from "../../src/map/label-placement";

const box = (left: number, top: number, wide = 80, tall = 14): Box => ({ left, top, right: left + wide, bottom: top + tall });
const view = { left: 0, top: 0, right: 1000, bottom: 600 };

test("no two names meet, all are inside the view, and each takes its first free spot", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const wishes: Wish<number>[] = Array.from({ length: 600 }, (_, what) => {
    const [x, y] = [1100 * random() - 50, 700 * random() - 50];
    return { what, spots: [box(x, y, 20 + 120 * random()), box(x - 90, y), box(x, y + 20)] };
  });
  const placed = place(wishes, view);
  // The same by comparing every box with every box before it.
  const expected: { what: number; box: Box; spot: number }[] = [];
  for (const { what, spots } of wishes) {
    const spot = spots.findIndex(
      (one) =>
        one.left >= 0 && one.top >= 0 && one.right <= 1000 && one.bottom <= 600 &&
        !expected.some((other) => meet(one, other.box)),
    );
    if (spot >= 0) expected.push({ what, box: spots[spot]!, spot });
  }
  expect(placed).toEqual(expected);
  expect(placed.length).toBeGreaterThan(100);
});

test("boxes that only touch do not meet", () => {
  expect(meet(box(0, 0), box(80, 0))).toBe(false);
  expect(meet(box(0, 0), box(79, 13))).toBe(true);
});

test("nothing is written over what is covered", () => {
  const wishes: Wish<string>[] = [
    { what: "moved", spots: [box(100, 100), box(100, 130)] },
    { what: "nowhere", spots: [box(120, 102)] },
    { what: "beside", spots: [box(300, 100)] },
  ];
  const placed = place(wishes, view, [{ left: 90, top: 90, right: 220, bottom: 120 }]);
  expect(placed.map(({ what, spot }) => [what, spot])).toEqual([["moved", 1], ["beside", 0]]);
});
