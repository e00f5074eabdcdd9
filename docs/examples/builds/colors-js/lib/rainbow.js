'use strict'

const codes = require('tiny-codes')
const paint = require('tiny-paint')

const colours = Object.keys(codes)

/** Writes each line of a text in the next colour. */
module.exports = (text) => text.split('\n').map((line, i) => paint(colours[i % colours.length], line)).join('\n')
