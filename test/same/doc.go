// Package same holds the engine of the filter to the verdicts of the stock rule
// engine: whatever is skipped to save work, every match must be there.
//
// It has only tests. TestMain compiles the stock engines before anything else.
package same
