declare module '*.gguf?url' {
  const url: string;
  export default url;
}
declare module '*.css';
