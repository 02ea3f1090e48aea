/** The beginning of every page: takes the data that the page carries and draws the page from it. */
import './theme.css';
import { type ComponentType, render } from 'preact';

/** Draws `Page` with the data of `renderPage`; `begin` is told of them before. */
export async function mount<Data>(Page: ComponentType<{ data: Data }>, initialize: (data: Data) => void = () => {}) {
  const data = await unpackData<Data>(document.getElementById('data')?.textContent ?? '');
  const target = document.getElementById('page') as HTMLElement;
  initialize(data);
  target.replaceChildren();
  render(<Page data={data} />, target);
}

/** What `packed` of page.ts made. */
async function unpackData<Data>(text: string): Promise<Data> {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).json();
}
