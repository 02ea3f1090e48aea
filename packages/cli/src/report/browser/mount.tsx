/** The beginning of every page: takes the data that the page carries and draws the page from it. */
import './theme.css';
import { type ComponentType, render } from 'preact';

/** Draws `Page` with the data of `renderPage`. */
export function mount<Data>(Page: ComponentType<{ data: Data }>): void {
  const data = JSON.parse(document.getElementById('data')?.textContent ?? 'null') as Data;
  const target = document.getElementById('page') as HTMLElement;
  target.replaceChildren();
  render(<Page data={data} />, target);
}
