/** The first card: which model, from where, and those that the browser keeps. */
import { useRef } from 'preact/hooks';
import { discard, forget, kept, load, loading, loadKept, model, storage } from './models.ts';
import { FileButton, megabytes, number, percent } from './parts.tsx';

export function ModelCard() {
  const { value: progress } = loading;
  const { value: loaded } = model;
  return (
    <section class="card" aria-labelledby="model-title">
      <h2 id="model-title">1. A model</h2>
      <div class="row">
        <button type="button" onClick={() => load('nano')} disabled={progress !== undefined}>
          Use nano, which comes with this page
        </button>
        <FileButton label="Open a GGUF file" accept=".gguf" onFile={load} />
      </div>
      <AddressForm />
      {progress !== undefined && (
        <p class="row">
          <span>
            <progress aria-label="Loading the model" max={1} value={progress.overall} /> {progress.phase},{' '}
            {percent(progress.overall)}
          </span>
          <button type="button" onClick={discard}>
            Stop loading
          </button>
        </p>
      )}
      <p role="status">
        {loaded === undefined
          ? 'No model is loaded. Nano has five megabytes and only finds facts again; a chat model answers questions.'
          : `${loaded.name} is loaded: ${number(loaded.contextLength)} tokens at most${loaded.ropeExtended ? ', more than it was trained for' : ''}.`}
      </p>
      <KeptModels />
    </section>
  );
}

function AddressForm() {
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const name = input.current?.value.trim() ?? '';
    if (name !== '' && loading.value === undefined) void load(name);
  };
  return (
    <form onSubmit={submit} class="row">
      <label class="stacked grow">
        Or fetch one, into this browser: hf:OWNER/REPO, or an address
        <input ref={input} type="text" placeholder="hf:OWNER/REPO/FILE.gguf" autocomplete="off" />
      </label>
      <button type="submit" disabled={loading.value !== undefined}>
        Fetch
      </button>
    </form>
  );
}

/** What is in the browser's storage, and how much room there is. */
function KeptModels() {
  const { usage, quota, persisted } = storage.value;
  if (kept.value.length === 0) return null;
  return (
    <>
      <h3>Kept in this browser</h3>
      <ul class="kept">
        {kept.value.map(({ name, byteLength }) => (
          <li key={name} class="row">
            <span class="grow">
              {name.slice(name.indexOf('/') + 1)}, {megabytes(byteLength)}
            </span>
            <button type="button" onClick={() => loadKept(name)} disabled={loading.value !== undefined}>
              Use<span class="unseen"> {name}</span>
            </button>
            <button type="button" onClick={() => forget(name)}>
              Delete<span class="unseen"> {name}</span>
            </button>
          </li>
        ))}
      </ul>
      <p class="muted">
        {usage !== undefined && quota !== undefined && `${megabytes(usage)} of ${megabytes(quota)} are used. `}
        {persisted
          ? 'The browser keeps them until you delete them.'
          : 'The browser may delete them where it runs out of room.'}
      </p>
    </>
  );
}
