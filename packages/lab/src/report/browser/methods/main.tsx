/** The page of methods: three pictures of all of them, then a card for each. */
import { signal } from '@preact/signals';
import { formatCount } from '../../../format/format.ts';
import type { MethodPageData, PageMethod } from '../../method-page-data.ts';
import { mount } from '../mount.tsx';
import { Choice, type Tile, Tiles } from '../parts.tsx';
import { MethodCard } from './cards.tsx';
import { CostPicture } from './costs.tsx';
import { SharesPicture } from './shares.tsx';

/** The file of captures whose readings are shown. */
const captures = signal('');

mount(MethodsPage, (data: MethodPageData) => {
  captures.value = data.captures[0]?.file ?? '';
});

function MethodsPage({ data }: { data: MethodPageData }) {
  const capture = data.captures.find(({ file }) => file === captures.value);
  return (
    <main>
      <header>
        <h1>Eleven systems of the literature, on real heads</h1>
        <p class="facts">
          {capture === undefined
            ? `planted data of seed ${data.seed}; no captures were given`
            : `${capture.heads} query heads, ${formatCount(capture.keys)} keys · planted data of seed ${data.seed}`}
        </p>
        <p>
          Each card has what a paper claims, whether that holds on data where it can fail, and what the method does on
          captured heads of a model: error against the bytes of a step beside the sieve, or against memory beside
          SnapKV.
        </p>
        {data.captures.length > 1 && (
          <Choice
            label="heads of"
            name="captures"
            options={data.captures.map(({ file, keys }) => ({
              value: file,
              label: `${file}, ${formatCount(keys)} keys`,
            }))}
            value={captures.value}
            onChange={(file) => {
              captures.value = file;
            }}
          />
        )}
        <Tiles tiles={tilesOf(data.methods)} />
      </header>
      {capture !== undefined && (
        <>
          <CostPicture
            axis="bytes"
            title="Error against bytes read for each key"
            text="Methods that save bytes in color, policies of the product in grey. Down and to the left is better; where a point lies beside the sieve is its card's verdict."
            methods={data.methods}
            capture={capture}
          />
          <CostPicture
            axis="memory"
            title="Error against memory"
            text="What a cache of limited size keeps of a prompt, in keys' worth: methods in color, what they are compared with in grey. Down and to the left is better."
            methods={data.methods}
            capture={capture}
          />
          <SharesPicture methods={data.methods} file={capture.file} />
        </>
      )}
      {data.methods.map((method) => (
        <MethodCard key={method.name} method={method} file={captures.value} />
      ))}
      <footer>Made by keysieve methods. Every figure and verdict was computed in that run.</footer>
    </main>
  );
}

function tilesOf(methods: readonly PageMethod[]): Tile[] {
  const count = (holds: (method: PageMethod) => boolean) => methods.filter(holds).length;
  const of = (n: number) => `${n} of ${methods.length}`;
  return [
    { value: of(count(({ holds }) => holds)), label: 'keep their claim on planted data' },
    { value: of(count(({ failing }) => !failing.holds)), label: 'fail on the input on which they must' },
    { value: String(count(({ place }) => place.kind === 'serving')), label: 'have a place in serving' },
    {
      value: String(count(({ place }) => place.kind === 'measuring')),
      label: 'give a column or a rule of the laboratory',
    },
  ];
}
