// Puts what the package is made of into out/: the program, what it depends on, and package.json, which is stamped at this moment.
'use strict'

const fs = require('node:fs')

fs.rmSync('out/colors', { recursive: true, force: true })
fs.mkdirSync('out/colors', { recursive: true })
for (const name of ['package.json', 'README.md', 'lib', 'node_modules']) {
  fs.cpSync(name, `out/colors/${name}`, { recursive: true, filter: (from) => !from.endsWith('.package-lock.json') })
}
