import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { encoded } from "../fixture";

test("every pair is found from both ends, strongest first, up to the number kept", () => {
  const atlas = decode(encoded());
  const names = (of: string) =>
    atlas.neighboursOf(atlas.channelNamed(of)!).map(({ channel, amount }) => [channel.name, amount]);
  expect(names("anna")).toEqual([["cleo", 60], ["bert", 50]]);
  expect(names("bert")).toEqual([["anna", 50], ["dora", 7]]);
  expect(names("cleo")).toEqual([["anna", 60], ["dora", 8]]);
  expect(names("dora")).toEqual([["cleo", 8], ["bert", 7]]);
  expect(names("emil")).toEqual([]);
});

test("positions become names, places and members", () => {
  const atlas = decode(encoded());
  const cleo = atlas.channelNamed("cleo")!;
  expect([cleo.game, cleo.language, cleo.community?.id, cleo.region?.id]).toEqual(["Pokémon", "de", 2, 7]);
  expect([cleo.x, cleo.y]).toEqual([0.5, -0.5]);
  const emil = atlas.channelNamed("emil")!;
  expect([emil.viewers, emil.game, emil.language, emil.community, emil.region]).toEqual([null, null, null, null, null]);
  expect(atlas.regionWith(7)!.members).toEqual([0, 1, 2]);
  expect(atlas.regionWith(7)!.communities.map((community) => community.id)).toEqual([1, 2]);
  expect(atlas.communityWith(4)!.region).toMatchObject({ label: "English", short: "EN" });
});

test("an unknown format is refused", () => {
  expect(() => decode({ ...encoded(), format: 2 })).toThrow("format 2");
});
