package demo

// Request is a request by what a client sends.
type Request struct {
	Method, Target    string
	ContentType, Body string // empty: none
	// Rule is the CRS rule at paranoia level 1 that takes it for an attack,
	// alone and with enough score to block.
	Rule int
}

// FalsePositives are honest requests that the balanced profile, at paranoia level
// 1 and threshold 5, takes for attacks: what a rule exclusion is for. They are
// all answered with success by the application.
func FalsePositives() []Request {
	return []Request{
		// A review gives the address of a device's own page.
		{
			Method: "POST", Target: "/reviews", ContentType: "application/json",
			Body: `{"sku":"pump-bilge","stars":4,"text":"The set-up page opens at http://localhost:8080/ and is easy to use"}`,
			Rule: 934110,
		},
		// A search for what listens on a port of one's own machine.
		{
			Method: "GET", Target: "/search?q=What+listens+on+http%3A%2F%2Flocalhost%3A3000+by+default%3F",
			Rule: 934110,
		},
	}
}
