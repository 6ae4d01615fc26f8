/** Tests of static/miniprogram: `node node_modules/.bin/jest --config miniprogram/jest.config.js`, from tests/node. */
const path = require('path');

module.exports = {
  rootDir: path.resolve(__dirname, '../../..'),
  roots: ['<rootDir>/tests/node/miniprogram'],
  testEnvironment: '<rootDir>/tests/node/miniprogram/environment.js',
  // The component lies outside of the folder that has the packages; nothing of it needs to be translated.
  modulePaths: ['<rootDir>/tests/node/node_modules'],
  transform: {},
  testTimeout: 30000,
};
