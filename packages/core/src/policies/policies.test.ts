import { sparsePolicyNames } from '../../test/variants.ts';
import { describePolicies } from './policy.conformance.ts';

describePolicies(sparsePolicyNames());
