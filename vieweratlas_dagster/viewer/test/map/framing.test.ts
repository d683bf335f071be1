import { expect, test } from "vitest";
import { type Channel, decode } from "../../src/data/data";
import { around, extent, spread } from "../../src/map/framing";
import { encoded } from "../fixture";

const atlas = decode(encoded());

test("the frame of a channel has it in the middle and most of its neighbours inside", () => {
  const [anna, bert, cleo] = atlas.channels as [Channel, Channel, Channel];
  const [low, high] = around(anna, [{ channel: cleo, amount: 2 }, { channel: bert, amount: 1 }]);
  expect([(low!.x + high!.x) / 2, (low!.y + high!.y) / 2]).toEqual([anna.x, anna.y]);
  // Six in ten of two neighbours: both.
  expect(high!.x).toBeCloseTo(Math.hypot(0.5, 0.5));
  expect(around(anna, [])).toEqual([{ x: 0, y: 0 }, { x: 0, y: 0 }]);
});

test("the frame of several places has room on every side", () => {
  expect(spread([{ x: 0, y: 0 }, { x: 1, y: 0.5 }])).toEqual([{ x: -0.12, y: -0.12 }, { x: 1.12, y: 0.62 }]);
});

test("the extent has a margin and a least size, and needs a place", () => {
  const { x, y } = extent([{ x: -1, y: 0 }, { x: 1, y: 0 }])!;
  expect(x).toEqual([-1.03, 1.03]);
  expect(y[1] - y[0]).toBeCloseTo(0.31);
  expect(extent([])).toBeNull();
});
