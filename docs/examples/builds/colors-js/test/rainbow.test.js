'use strict'

const assert = require('node:assert')
const test = require('node:test')

const rainbow = require('../lib/rainbow')

test('each line has the next colour', () => {
  assert.strictEqual(rainbow('a\nb'), '\u001b[31ma\u001b[0m\n\u001b[32mb\u001b[0m')
})

test('after the last colour comes the first one', () => {
  assert.match(rainbow('a\nb\nc\nd\ne'), /\u001b\[31me/)
})
