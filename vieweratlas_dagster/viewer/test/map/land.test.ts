import { describe, expect, it } from "vitest";
import { type Frame, moved } from "../../src/map/land";

const at: Frame = { width: 1000, height: 600, density: 1, scale: { x: 400, y: -400 }, origin: { x: 480, y: 310 } };
const zoomed = (frame: Frame, factor: number, about: { x: number; y: number }): Frame => ({
  ...frame,
  scale: { x: frame.scale.x * factor, y: frame.scale.y * factor },
  origin: { x: about.x + factor * (frame.origin.x - about.x), y: about.y + factor * (frame.origin.y - about.y) },
});
const shifted = (frame: Frame, x: number, y: number): Frame => ({ ...frame, origin: { x: frame.origin.x + x, y: frame.origin.y + y } });
const pixel = ({ scale, origin }: Frame, x: number, y: number) => [origin.x + scale.x * x, origin.y + scale.y * y];

describe("a picture of the land that is carried along", () => {
  it.each([
    ["a drag", shifted(at, 150, -90)],
    ["zooming in", zoomed(at, 1.3, { x: 200, y: 500 })],
    ["zooming out about the middle", zoomed(at, 0.8, { x: 500, y: 300 })],
    ["both", shifted(zoomed(at, 1.2, { x: 500, y: 300 }), -60, 40)],
  ])("shows every place where the new view has it: %s", (_, to) => {
    const move = moved(at, to)!;
    for (const [x, y] of [[0, 0], [0.4, -0.7], [-1.1, 0.5]] as const) {
      const [before, after] = [pixel(at, x, y), pixel(to, x, y)];
      expect(move.left + move.factor * before[0]!).toBeCloseTo(after[0]!, 6);
      expect(move.top + move.factor * before[1]!).toBeCloseTo(after[1]!, 6);
    }
  });

  it("stays as it is in the same view", () => {
    expect(moved(at, { ...at })).toEqual({ factor: 1, left: 0, top: 0 });
  });

  it.each([
    ["beyond its left side", shifted(at, 201, 0)],
    ["beyond its right side", shifted(at, -201, 0)],
    ["beyond its upper side", shifted(at, 0, 121)],
    ["beyond its lower side", shifted(at, 0, -121)],
    ["too far in", zoomed(at, 1.41, { x: 500, y: 300 })],
    ["too far out", zoomed(at, 0.7, { x: 500, y: 300 })],
    ["out at a corner", zoomed(at, 0.8, { x: 0, y: 0 })],
    ["of a different size", { ...at, width: 900 }],
    ["on a different screen", { ...at, density: 2 }],
  ])("is painted again when it does not reach: %s", (_, to) => {
    expect(moved(at, to)).toBeNull();
  });

  it.each([
    ["left", shifted(at, 200, 0)],
    ["lower", shifted(at, 0, -120)],
  ])("reaches as far as its %s margin", (_, to) => {
    expect(moved(at, to)).not.toBeNull();
  });
});
