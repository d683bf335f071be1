import { expect, test } from "vitest";
import { decode } from "../src/data";
import { hashOf, selectionOf } from "../src/state";
import { encoded } from "./fixture";

const rows = encoded();
rows.channels.name[3] = "</script> & #ü=%";
const atlas = decode(rows);

test("every address leads back to what it was made from", () => {
  for (const channel of atlas.channels) {
    expect(selectionOf(hashOf(channel), atlas)).toEqual({ kind: "channel", channel });
  }
  for (const group of [...atlas.communities, ...atlas.regions]) {
    expect(selectionOf(hashOf(group), atlas)).toEqual({ kind: group.kind, group });
  }
});

test.each(["", "#", "#channel=", "#channel=nobody", "#community=99", "#region=x", "#channel=%E0%A4%A", "#other=1"])(
  "%s selects nothing",
  (hash) => expect(selectionOf(hash, atlas)).toEqual({ kind: "none" }),
);

test("a channel is found in capitals too", () => {
  expect(selectionOf("#channel=ANNA", atlas)).toMatchObject({ channel: { name: "anna" } });
});
