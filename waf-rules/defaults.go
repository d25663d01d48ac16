package wafrules

// Defaults are the built-in settings: CRS at paranoia level 1, thresholds 5 and
// 4, 100,000 arguments.
func Defaults() Settings {
	return Settings{Profile: "crs", ParanoiaLevel: 1, Inbound: 5, Outbound: 4, MaxArguments: 100_000, JSONDepth: 128}
}
