/** The second card: the document. */
import { documentText, documentTokens, readFile, reading, sampleDocument, setDocument } from './document.ts';
import { FileButton, number, percent } from './parts.tsx';

export function DocumentCard() {
  return (
    <section class="card" aria-labelledby="document-title">
      <h2 id="document-title">2. A document</h2>
      <div class="row">
        <FileButton
          label="Open a text, Markdown or PDF file"
          accept=".txt,.md,.markdown,.pdf,text/*,application/pdf"
          onFile={readFile}
        />
        <button type="button" onClick={() => setDocument(sampleDocument())}>
          Use a sample with a number hidden in it
        </button>
      </div>
      {reading.value !== undefined && (
        <p>
          <progress aria-label="Reading the file" max={1} value={reading.value} /> {percent(reading.value)}
        </p>
      )}
      <label class="stacked">
        Or paste its text
        <textarea
          rows={6}
          value={documentText.value}
          onChange={({ currentTarget }) => setDocument(currentTarget.value)}
        />
      </label>
      <p role="status">
        {documentTokens.value === undefined
          ? `${number(documentText.value.length)} characters.`
          : `${number(documentTokens.value)} tokens.`}
      </p>
    </section>
  );
}
