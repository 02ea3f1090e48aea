/** The page of a law, as a report. */
import { mount } from '../mount.tsx';
import { LawPage, showTypicalHead } from './page.tsx';

mount(LawPage, showTypicalHead);
