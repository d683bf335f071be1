import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { EVERYTHING } from "../../src/data/filter";
import { selectionFor } from "../../src/data/state";
import { Emphasis } from "../../src/map/emphasis";
import { encoded } from "../fixture";

const atlas = decode(encoded());
const [anna, bert, cleo, dora, emil] = atlas.channels as [any, any, any, any, any];
const german = { ...EVERYTHING, languages: ["de"] };
const names = (all: Iterable<number> | null) => all && [...all].map((at) => atlas.channels[at]!.name).sort();
const lines = (emphasis: Emphasis) => emphasis.links().map(({ from, to, amount }) => [from.name, to.name, amount]);

test("without selection and filter nothing stands back", () => {
  const all = new Emphasis(atlas);
  expect([all.lit, all.passing, all.chosen, all.links()]).toEqual([null, null, [], []]);
  expect(atlas.channels.map((channel) => all.layerOf(channel))).toEqual([1, 1, 1, 1, 1]);
  expect(atlas.communities.map((community) => all.tintOf(community))).toEqual([0.3, 0.3, 0.3]);
  expect([...atlas.communities, ...atlas.regions].map((group) => all.strengthOf(group))).toEqual([1, 1, 1, 1, 1]);
});

test("a channel's neighbours stay lit, linked by lines with the strongest on top", () => {
  const emphasis = new Emphasis(atlas, selectionFor(anna));
  expect(names(emphasis.lit)).toEqual(["anna", "bert", "cleo"]);
  expect([anna, bert, emil].map((channel) => emphasis.layerOf(channel))).toEqual([2, 1, 0]);
  expect(lines(emphasis)).toEqual([["anna", "bert", 50], ["anna", "cleo", 60]]);
  expect(atlas.communities.map((community) => emphasis.tintOf(community))).toEqual([0.3, 0.13, 0.13]);
  expect([...atlas.communities, ...atlas.regions].map((group) => emphasis.strengthOf(group))).toEqual([1, 0.75, 0.75, 1, 0.75]);
});

test("the filter takes neighbours and lines away, but not the selected channel", () => {
  const pokemon = { ...EVERYTHING, games: ["Pokémon"] };
  const emphasis = new Emphasis(atlas, selectionFor(dora), pokemon);
  expect(names(emphasis.passing)).toEqual(["cleo"]);
  expect(names(emphasis.lit)).toEqual(["cleo", "dora"]);
  expect(lines(emphasis)).toEqual([["dora", "cleo", 8]]);
});

test("of compared channels the common neighbours stay lit, and only pairs that share viewers are lines", () => {
  const emphasis = new Emphasis(atlas, { kind: "compare", channels: [bert, cleo] });
  expect(names(emphasis.lit)).toEqual(["anna", "bert", "cleo", "dora"]);
  expect(lines(emphasis)).toEqual([]);
  const three = new Emphasis(atlas, { kind: "compare", channels: [anna, bert, dora] });
  expect(lines(three)).toEqual([["bert", "dora", 7], ["anna", "bert", 50]]);
  expect([anna, bert, dora].map((channel) => three.layerOf(channel))).toEqual([2, 2, 2]);
});

test("a region stands out with its communities", () => {
  const emphasis = new Emphasis(atlas, selectionFor(atlas.regions[0]!));
  expect(names(emphasis.lit)).toEqual(["anna", "bert", "cleo"]);
  expect(atlas.communities.map((community) => emphasis.tintOf(community))).toEqual([0.36, 0.36, 0.1]);
  expect([...atlas.communities, ...atlas.regions].map((group) => emphasis.strengthOf(group))).toEqual([1, 1, 0.7, 1, 0.7]);
});

test("groups without a channel that passes the filter stand back", () => {
  const emphasis = new Emphasis(atlas, undefined, german);
  expect(names(emphasis.lit)).toEqual(["anna", "bert", "cleo"]);
  expect(atlas.communities.map((community) => emphasis.tintOf(community))).toEqual([0.3, 0.3, 0.08]);
  expect([...atlas.communities, ...atlas.regions].map((group) => emphasis.strengthOf(group))).toEqual([1, 1, 0.6, 1, 0.6]);
});
