/** The part of fourier-transform that is used here; the package has no types. */
declare module 'fourier-transform' {
  /** The spectrum of N real numbers, N a power of two: real and imaginary parts, N / 2 + 1 each. */
  export function fft(input: ArrayLike<number>, output: [Float64Array, Float64Array]): [Float64Array, Float64Array];
  /** The N real numbers of such a spectrum. */
  export function ifft(re: Float64Array, im: Float64Array, output: Float64Array): Float64Array;
}
