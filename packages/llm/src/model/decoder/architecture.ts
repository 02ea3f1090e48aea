/** What an architecture is to the rest: a name, and how it fills in the table of a decoder. */
import type { ModelHeader } from './config.ts';
import type { TensorSource } from './tensor-source.ts';
import type { DecoderTraits } from './traits.ts';

export interface Architecture {
  /** `general.architecture` of its files. */
  readonly name: string;
  /** What sets it apart from Llama. Throws `unsupported-architecture` for a file of a kind that is not supported. */
  describe(header: ModelHeader, tensors: TensorSource): Partial<DecoderTraits>;
}
