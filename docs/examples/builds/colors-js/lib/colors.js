#!/usr/bin/env node
'use strict'

const { version } = require('../package.json')
const rainbow = require('./rainbow')

const [first, ...rest] = process.argv.slice(2)
console.log(first === '--version' ? version : rainbow([first, ...rest].join('\n')))
