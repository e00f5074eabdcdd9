package datasets

// What the external tests use: package datasetstest imports this one.
var (
	InEachStore = inEachStore
	Contents    = contents
	StoreURLs   = stores
	OpenURL     = openURL
)
