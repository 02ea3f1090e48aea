import { clustersOf } from './clusters.ts';
import { describeRemains } from './remains.conformance.ts';

describeRemains(clustersOf(), 64, clustersOf);
