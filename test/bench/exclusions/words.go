package main

// What harmless people write, made of pieces: sentences with the punctuation,
// code and commands that rules take for attacks. None of it is from anybody's
// traffic.

func subjects() []string {
	return []string{"the blue chair", "my order", "the left cable", "this tutorial", "your shop", "the second part", "our kitchen table", "the old lamp",
		"a friend of mine", "the delivery", "the manual", "that recipe", "the update", "the garden hose", "her bicycle", "the printer", "the report", "the playlist"}
}

func verbs() []string {
	return []string{"arrived late", "works well", "broke on day two", "looks different", "is too small", "fits perfectly", "made me smile", "needs a screw",
		"was out of stock", "smells of paint", "stopped working", "came with scratches", "saved my week", "is on my list", "could be cheaper"}
}

func closings() []string {
	return []string{"Thanks!", "Any ideas?", "Would buy again.", "Five stars.", "Please call me.", "See you soon :-)", "I am happy with it.", "Not for me.",
		"10/10 would recommend.", "Let me know.", "Cheers, Ann", "What do you think?", "Well done."}
}

// asides are what makes free text look like an attack.
func asides() []string {
	return []string{
		"Cables & pins; ping me: the cat slept on it, ls 20 is fine.",
		"I select the red one from the list and where it says union, tick it.",
		"You can drop table tennis balls on it; nothing happens.",
		"In the shell I typed: cat notes.txt | sort; it worked.",
		"Use `find` and `grep`; then curl the page & wget the rest.",
		"It's 5 o'clock and 1=1 for me; or 'maybe' not -- who knows.",
		"Set the path to /etc/hosts, then restart; that helped.",
		"I ran python and node; then echo said hi & exit.",
		"Order by name, group by colour; having both = luxury.",
		"Write <b>bold</b> and <i>italic</i> in the title.",
		"My config has user=admin; password=secret is not mine.",
		"a' or b', both are fine; and 2=2 of course.",
		"Just kill the process; ps shows it, top too.",
		"sleep(8) hours; then breakfast; benchmark: coffee.",
		"Alert: (the) document.title is wrong on the page.",
		"SELECT is a nice word; INSERT INTO the slot, then VALUES matter.",
	}
}

// code is what only some write: to the rules it is an attack of several classes.
func code() []string {
	return []string{
		"The docs say $(pwd) and ${HOME}; mine says nothing.",
		"if (a == b) { return c; } else { print(d); } is all it does.",
	}
}

func questions() []string {
	return []string{"wooden table", "lamp & shade", "chair for 2", "how to select a mattress from a list", "tea or coffee", "cat food; dog food", "drop leaf table",
		"rock 'n' roll poster", "men's shoes size 10", "order by phone", "union jack mug", "ls model train", "echo dot", "ping pong balls", "id card holder",
		"o'reilly books", "50% off & free", "what is 1=1", "shell lamp", "python (snake) poster", "sleep mask", "where to find nails", "top 10 gifts", "net curtain; white"}
}

func slugs() []string {
	return []string{"spring-cleaning", "how-we-build-chairs", "ten-lamps", "paint-it-blue", "small-kitchens", "our-workshop", "oak-or-beech", "wool-and-linen",
		"a-day-in-the-shop", "repair-it-yourself", "colours-of-autumn", "gifts-for-gardeners", "light-and-shadow", "the-round-table", "on-good-screws"}
}

func htmlPieces() []string {
	return []string{"<p>Our <b>oak</b> table is back.</p>", "<ul><li>one</li><li>two</li></ul>", `<a href="/tables/oak">see more</a>`, "<h2>News</h2>",
		"<p>Oil it twice a year &amp; keep it dry.</p>", `<img src="/img/oak.jpg" alt="oak">`, "<blockquote>Well made</blockquote>", "<p>5 &gt; 3, they say.</p>",
		`<p style="color: red">Sale</p>`, "<em>new</em>", "<br>", "<code>if (x) { y(); }</code>"}
}
