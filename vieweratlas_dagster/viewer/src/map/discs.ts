/**
 * The WebGL program with which sigma draws channels as discs with a rim.
 *
 * It draws no picking buffer, because pointer.ts computes the disc under the pointer.
 */
import { createNodeBorderProgram } from "@sigma/node-border";
import type Sigma from "sigma";
import type { InstancedProgramDefinition, NodeProgram, NodeProgramType, ProgramDefinition, ProgramInfo } from "sigma/rendering";
import type { NodeDisplayData, RenderParams } from "sigma/types";
import type { NodeAttributes } from "./graph";

/** The class that the package creates; its own declarations omit these members. */
declare class BorderProgram extends NodeProgram<string, NodeAttributes> {
  getDefinition(): ProgramDefinition | InstancedProgramDefinition;
  processVisibleItem(index: number, start: number, data: NodeDisplayData): void;
  setUniforms(params: RenderParams, program: ProgramInfo): void;
}

const Instanced = createNodeBorderProgram<NodeAttributes>({
  borders: [
    { size: { value: 0.14 }, color: { attribute: "rim" } },
    { size: { fill: true }, color: { attribute: "color" } },
  ],
}) as unknown as typeof BorderProgram;

const CORNERS = [0, (2 * Math.PI) / 3, (4 * Math.PI) / 3];

/** The same discs as plain triangles, because thousands of instances of three corners each are slow to draw. */
class PlainDiscs extends Instanced {
  constructor(gl: WebGLRenderingContext, _picking: WebGLFramebuffer | null, renderer: Sigma<NodeAttributes>) {
    super(gl, null, renderer);
  }

  override getDefinition(): ProgramDefinition {
    const { CONSTANT_ATTRIBUTES, CONSTANT_DATA, ...plain } = super.getDefinition() as InstancedProgramDefinition;
    return { ...plain, ATTRIBUTES: [...plain.ATTRIBUTES, ...CONSTANT_ATTRIBUTES] };
  }

  override processVisibleItem(index: number, start: number, data: NodeDisplayData): void {
    CORNERS.forEach((angle, corner) => {
      const at = start + corner * this.ATTRIBUTES_ITEMS_COUNT;
      super.processVisibleItem(index, at, data);
      this.array[at + this.ATTRIBUTES_ITEMS_COUNT - 1] = angle;
    });
  }
}

export const Discs = PlainDiscs as unknown as NodeProgramType<NodeAttributes>;
