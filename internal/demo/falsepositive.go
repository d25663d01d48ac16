package demo

// Request is a request by what a client sends.
type Request struct {
	Method, Target    string
	ContentType, Body string // empty: none
	// Rule is the CRS rule at paranoia level 1 that takes it for an attack,
	// alone and with enough score to block.
	Rule int
}

// FalsePositives are honest requests that the Core Rule Set, at paranoia level
// 1 and threshold 5, takes for attacks: what a rule exclusion is for. They are
// all answered with success by the application.
func FalsePositives() []Request {
	return []Request{
		// A note to the driver reads like SQL: "select … from …; drop".
		{
			Method: "POST", Target: "/orders", ContentType: "application/json",
			Body: `{"account":"ac-1001","sku":"rope-12","quantity":1,"note":"Please select the blue one from the list, and order by Friday; drop it at the door"}`,
			Rule: 942350,
		},
		// A review names a file of the system.
		{
			Method: "POST", Target: "/reviews", ContentType: "application/json",
			Body: `{"sku":"pump-bilge","stars":4,"text":"The manual says: run cat /etc/hosts to find the pump's address"}`,
			Rule: 930120,
		},
		// A search for cables has a semicolon before a word that is also a command.
		{
			Method: "GET", Target: "/search?q=Cables+%26+pins%3B+ping+me%3A+the+cat+slept+on+it%2C+ls+20+is+fine",
			Rule: 932235,
		},
	}
}
