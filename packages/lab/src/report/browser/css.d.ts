// Style sheets are bundled by scripts/build-pages.mjs; they export nothing.
declare module '*.css';
