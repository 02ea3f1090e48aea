#!/usr/bin/env node
// Not built, so that npm finds it to link when the workspace is installed, before there is a build.
import '../dist/main.mjs';
