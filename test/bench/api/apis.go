package main

import "strings"

// smallAPI is an API of a shape of its own, in one line an operation:
// "GET /users/{id:int} ?page:int !q:string". A hole says how its values look, a
// "?" is an optional and a "!" a required query parameter.
type smallAPI struct {
	name       string
	operations []operation
}

func smallAPIs() (list []smallAPI) {
	for _, text := range strings.Split(strings.TrimSpace(smallText), "\n\n") {
		name, lines, _ := strings.Cut(strings.TrimSpace(text), "\n")
		a := smallAPI{name: strings.TrimPrefix(name, "# ")}
		for _, line := range strings.Split(lines, "\n") {
			a.operations = append(a.operations, operationsOf(strings.TrimSpace(line))...)
		}
		list = append(list, a)
	}
	return list
}

// operationsOf reads a line; "GET,PUT" makes one of each.
func operationsOf(line string) (list []operation) {
	words := strings.Fields(line)
	var path strings.Builder
	var params []param
	for rest := words[1]; ; {
		before, after, found := strings.Cut(rest, "{")
		path.WriteString(before)
		if !found {
			break
		}
		hole, tail, _ := strings.Cut(after, "}")
		name, kind, _ := strings.Cut(hole, ":")
		path.WriteString("{" + name + "}")
		params = append(params, param{in: "path", name: name, required: true, schema: schemaOf(kind)})
		rest = tail
	}
	for _, w := range words[2:] {
		name, kind, _ := strings.Cut(w[1:], ":")
		params = append(params, param{in: "query", name: name, required: w[0] == '!', schema: schemaOf(kind), explode: true})
	}
	for _, m := range strings.Split(words[0], ",") {
		list = append(list, operation{method: m, path: path.String(), params: params, status: 200})
	}
	return list
}

func schemaOf(kind string) map[string]any {
	switch kind {
	case "int", "year", "month", "day", "small":
		if kind == "int" {
			return map[string]any{"type": "integer"}
		}
		return map[string]any{"type": []any{"string", "integer"}, "format": "style", "style": kind}
	case "number", "boolean":
		return map[string]any{"type": kind}
	case "uuid", "date", "date-time":
		return map[string]any{"type": "string", "format": kind}
	case "ids":
		return map[string]any{"type": []any{"string", "array"}, "format": "style", "style": kind}
	}
	if list, ok := strings.CutPrefix(kind, "enum:"); ok {
		var values []any
		for _, v := range strings.Split(list, "|") {
			values = append(values, v)
		}
		return map[string]any{"type": "string", "enum": values}
	}
	return map[string]any{"type": "string", "format": "style", "style": kind}
}

const smallText = `
# payments
GET,POST /v1/customers ?limit:int ?starting_after:prefix:cus_ ?email:email
GET,POST,DELETE /v1/customers/{customer:prefix:cus_}
GET,POST /v1/customers/{customer:prefix:cus_}/sources ?limit:int
GET,DELETE /v1/customers/{customer:prefix:cus_}/sources/{id:prefix:card_}
GET /v1/customers/search !query:word ?limit:int
GET /v1/customers/{customer:prefix:cus_}/balance_transactions ?limit:int
GET,POST /v1/charges ?limit:int ?customer:prefix:cus_
GET,POST /v1/charges/{charge:prefix:ch_}
POST /v1/charges/{charge:prefix:ch_}/capture
GET,POST /v1/payment_intents ?limit:int
GET,POST /v1/payment_intents/{intent:prefix:pi_}
POST /v1/payment_intents/{intent:prefix:pi_}/confirm
POST /v1/payment_intents/{intent:prefix:pi_}/cancel
POST /v1/payment_intents/{intent:prefix:pi_}/capture
GET,POST /v1/invoices ?limit:int ?status:enum:draft|open|paid|void
GET,POST,DELETE /v1/invoices/{invoice:prefix:in_}
GET /v1/invoices/upcoming ?customer:prefix:cus_
POST /v1/invoices/{invoice:prefix:in_}/pay
POST /v1/invoices/{invoice:prefix:in_}/void
GET /v1/invoices/{invoice:prefix:in_}/lines ?limit:int
GET,POST /v1/subscriptions ?limit:int
GET,POST,DELETE /v1/subscriptions/{id:prefix:sub_}
GET,POST /v1/products ?active:boolean ?limit:int
GET,POST,DELETE /v1/products/{id:prefix:prod_}
GET,POST /v1/prices ?limit:int
GET,POST /v1/prices/{price:prefix:price_}
GET,POST /v1/coupons
GET,POST,DELETE /v1/coupons/{coupon:code}
GET /v1/balance
GET /v1/balance/history ?limit:int
GET,POST /v1/account
GET,POST /v1/accounts
GET,POST,DELETE /v1/accounts/{account:prefix:acct_}
GET /v1/country_specs
GET /v1/country_specs/{country:lang}
GET /v1/exchange_rates
GET /v1/exchange_rates/{currency:currency}
GET,POST /v1/webhook_endpoints
GET,POST,DELETE /v1/webhook_endpoints/{id:prefix:we_}
GET /v1/events ?limit:int ?type:word
GET /v1/events/{id:prefix:evt_}
GET,POST /v1/terminal/readers
GET,POST,DELETE /v1/terminal/readers/{reader:prefix:tmr_}
POST /v1/terminal/readers/{reader:prefix:tmr_}/cancel_action
GET,POST /v1/terminal/locations
GET,POST /v1/radar/value_lists
GET,DELETE /v1/radar/value_lists/{id:prefix:rsl_}

# telephony
GET,POST /2010-04-01/Accounts.json ?PageSize:int
GET,POST /2010-04-01/Accounts/{Sid:sid:AC}.json
GET,POST /2010-04-01/Accounts/{AccountSid:sid:AC}/Messages.json ?PageSize:int ?To:word
GET,POST,DELETE /2010-04-01/Accounts/{AccountSid:sid:AC}/Messages/{Sid:sid:SM}.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Messages/{MessageSid:sid:SM}/Media.json
GET,DELETE /2010-04-01/Accounts/{AccountSid:sid:AC}/Messages/{MessageSid:sid:SM}/Media/{Sid:sid:ME}.json
GET,POST /2010-04-01/Accounts/{AccountSid:sid:AC}/Calls.json ?Status:enum:queued|ringing|busy
GET,POST,DELETE /2010-04-01/Accounts/{AccountSid:sid:AC}/Calls/{Sid:sid:CA}.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Calls/{CallSid:sid:CA}/Recordings.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/AvailablePhoneNumbers.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/AvailablePhoneNumbers/{CountryCode:country}.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/AvailablePhoneNumbers/{CountryCode:country}/Local.json ?AreaCode:int
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/AvailablePhoneNumbers/{CountryCode:country}/TollFree.json ?AreaCode:int
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/AvailablePhoneNumbers/{CountryCode:country}/Mobile.json ?AreaCode:int
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Usage/Records.json ?Category:word
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Usage/Records/Daily.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Usage/Records/Monthly.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Usage/Records/Today.json
GET,POST /2010-04-01/Accounts/{AccountSid:sid:AC}/Queues.json
GET,POST,DELETE /2010-04-01/Accounts/{AccountSid:sid:AC}/Queues/{Sid:sid:QU}.json
GET /2010-04-01/Accounts/{AccountSid:sid:AC}/Queues/{QueueSid:sid:QU}/Members/{CallSid:sid:CA}.json
GET,POST /2010-04-01/Accounts/{AccountSid:sid:AC}/Balance.json

# cluster
GET /api
GET /apis
GET /version
GET /healthz
GET,POST /api/v1/namespaces ?limit:int ?watch:boolean
GET,PUT,DELETE /api/v1/namespaces/{name:dns}
GET,PUT /api/v1/namespaces/{name:dns}/status
GET,POST /api/v1/namespaces/{namespace:dns}/pods ?labelSelector:word ?limit:int
GET,PUT,PATCH,DELETE /api/v1/namespaces/{namespace:dns}/pods/{name:pod}
GET /api/v1/namespaces/{namespace:dns}/pods/{name:pod}/log ?follow:boolean ?tailLines:int
GET,POST /api/v1/namespaces/{namespace:dns}/pods/{name:pod}/exec !command:word
GET,PUT /api/v1/namespaces/{namespace:dns}/pods/{name:pod}/status
GET,POST /api/v1/namespaces/{namespace:dns}/services
GET,PUT,PATCH,DELETE /api/v1/namespaces/{namespace:dns}/services/{name:dns}
GET,POST /api/v1/namespaces/{namespace:dns}/configmaps
GET,PUT,PATCH,DELETE /api/v1/namespaces/{namespace:dns}/configmaps/{name:dns}
GET,POST /api/v1/namespaces/{namespace:dns}/secrets
GET,PUT,DELETE /api/v1/namespaces/{namespace:dns}/secrets/{name:dns}
GET /api/v1/pods ?limit:int
GET /api/v1/services
GET /api/v1/nodes
GET,PUT,PATCH /api/v1/nodes/{name:dns}
GET,PUT /api/v1/nodes/{name:dns}/status
GET,POST /apis/apps/v1/namespaces/{namespace:dns}/deployments
GET,PUT,PATCH,DELETE /apis/apps/v1/namespaces/{namespace:dns}/deployments/{name:dns}
GET,PUT /apis/apps/v1/namespaces/{namespace:dns}/deployments/{name:dns}/scale
GET,POST /apis/apps/v1/namespaces/{namespace:dns}/statefulsets
GET,PUT,PATCH,DELETE /apis/apps/v1/namespaces/{namespace:dns}/statefulsets/{name:dns}
GET /apis/apps/v1/deployments
GET,POST /apis/batch/v1/namespaces/{namespace:dns}/jobs
GET,PUT,PATCH,DELETE /apis/batch/v1/namespaces/{namespace:dns}/jobs/{name:dns}
GET,POST /apis/networking.k8s.io/v1/namespaces/{namespace:dns}/ingresses
GET,PUT,PATCH,DELETE /apis/networking.k8s.io/v1/namespaces/{namespace:dns}/ingresses/{name:dns}
GET /apis/apps
GET /apis/batch
GET /apis/apps/v1
GET /apis/batch/v1

# music
GET /v1/albums !ids:ids
GET /v1/albums/{id:base62} ?market:lang
GET /v1/albums/{id:base62}/tracks ?limit:int ?offset:int
GET /v1/artists/{id:base62}
GET /v1/artists/{id:base62}/albums ?limit:int ?include_groups:word
GET /v1/artists/{id:base62}/top-tracks ?market:lang
GET /v1/artists/{id:base62}/related-artists
GET /v1/tracks/{id:base62}
GET /v1/audio-features/{id:base62}
GET /v1/audio-analysis/{id:base62}
GET /v1/search !q:word !type:enum:album|artist|track ?limit:int
GET /v1/browse/new-releases ?limit:int
GET /v1/browse/featured-playlists ?limit:int
GET /v1/browse/categories ?limit:int
GET /v1/browse/categories/{category_id:word}
GET /v1/browse/categories/{category_id:word}/playlists
GET /v1/me
GET /v1/me/playlists ?limit:int
GET /v1/me/top/{type:enum:artists|tracks}
GET,PUT,DELETE /v1/me/albums ?limit:int
GET,PUT,DELETE /v1/me/tracks ?limit:int
GET /v1/me/player
PUT /v1/me/player/play
PUT /v1/me/player/pause
POST /v1/me/player/next
POST /v1/me/player/queue !uri:word
GET /v1/me/player/devices
GET /v1/users/{user_id:handle}
GET,POST /v1/users/{user_id:handle}/playlists
GET,PUT /v1/playlists/{playlist_id:base62}
GET,POST,PUT,DELETE /v1/playlists/{playlist_id:base62}/tracks ?limit:int
GET,PUT /v1/playlists/{playlist_id:base62}/images
GET /v1/markets

# rpc
POST /api/auth.test
POST /api/chat.postMessage
POST /api/chat.update
POST /api/chat.delete
GET /api/conversations.list ?limit:int ?cursor:base62
GET /api/conversations.history !channel:sid:C ?limit:int
POST /api/conversations.create
POST /api/conversations.join
GET /api/users.list ?limit:int
GET /api/users.info !user:sid:U
GET /api/users.lookupByEmail !email:email
POST /api/files.upload
GET /api/files.list ?page:int
POST /api/reactions.add
POST /api/reactions.remove
GET /api/team.info
POST /api/views.open
POST /rpc/getUser
POST /rpc/listUsers
POST /rpc/createInvoice
POST /rpc/cancelInvoice
POST /rpc/resetPassword

# shop
GET /api/v2/articles ?page:int ?tag:word
GET /api/v2/articles/{slug:slug}
GET,POST /api/v2/articles/{slug:slug}/comments
DELETE /api/v2/articles/{slug:slug}/comments/{id:int}
POST,DELETE /api/v2/articles/{slug:slug}/favorite
GET /api/v2/articles/feed ?limit:int
GET /api/v2/profiles/{username:word}
POST,DELETE /api/v2/profiles/{username:word}/follow
GET,POST /api/v2/orders ?status:enum:open|paid|shipped ?from:date ?to:date
GET,PUT,PATCH,DELETE /api/v2/orders/{id:int}
GET,POST /api/v2/orders/{id:int}/items
GET,PATCH,DELETE /api/v2/orders/{id:int}/items/{item:int}
POST /api/v2/orders/{id:int}/refund
GET /api/v2/orders/{id:int}/invoice.pdf
GET /api/v2/orders/export.csv ?from:date
GET,POST /api/v2/products ?category:word ?min_price:number ?in_stock:boolean
GET,PUT,DELETE /api/v2/products/{sku:sku}
GET,POST /api/v2/products/{sku:sku}/reviews
GET /api/v2/products/{sku:sku}/related
GET /api/v2/categories
GET /api/v2/categories/{category:word}/products ?page:int
GET,PUT /api/v2/users/me
GET,PUT /api/v2/users/me/settings
GET /api/v2/users/{id:uuid}
GET,DELETE /api/v2/users/{id:uuid}/sessions
GET /api/v2/users/by-email/{email:email}
GET /api/v2/search !q:word ?page:int
POST /api/v2/login
POST /api/v2/logout
POST /api/v2/token/refresh
GET /api/v2/translations/{lang:lang}
GET /api/v2/reports/{year:year}/{month:month}
GET /api/v2/reports/daily/{day:date}
GET /api/v1/products ?category:word
GET /api/v1/products/{sku:sku}
GET /healthz
GET /metrics

# repositories
GET /{owner:handle}/{repo:handle} 
GET /{owner:handle}/{repo:handle}/issues ?page:int
GET,PATCH /{owner:handle}/{repo:handle}/issues/{number:int}
GET /{owner:handle}/{repo:handle}/pulls
GET /{owner:handle}/{repo:handle}/pulls/{number:int}
GET /{owner:handle}/{repo:handle}/branches
GET,DELETE /{owner:handle}/{repo:handle}/branches/{branch:word}
GET /{owner:handle}/{repo:handle}/tags/{tag:semver}
GET /{owner:handle}/{repo:handle}/settings
PUT /{owner:handle}/{repo:handle}/settings

# deep
GET,POST /org/{org:word}/teams
GET,PUT,DELETE /org/{org:word}/teams/{team:word}
GET,POST /org/{org:word}/teams/{team:word}/projects
GET,PUT,DELETE /org/{org:word}/teams/{team:word}/projects/{project:word}
GET,POST /org/{org:word}/teams/{team:word}/projects/{project:word}/boards
GET,DELETE /org/{org:word}/teams/{team:word}/projects/{project:word}/boards/{board:word}
GET,POST /org/{org:word}/teams/{team:word}/projects/{project:word}/boards/{board:word}/cards
GET,PATCH /org/{org:word}/teams/{team:word}/projects/{project:word}/boards/{board:word}/cards/{card:int}
POST /org/{org:word}/teams/{team:word}/projects/{project:word}/boards/{board:word}/cards/{card:int}/move
POST /org/{org:word}/teams/{team:word}/projects/{project:word}/boards/{board:word}/cards/{card:int}/archive
GET /org/{org:word}/audit
GET,PUT /org/{org:word}/billing

# weather
GET /data/2.5/weather !lat:number !lon:number ?units:enum:metric|imperial ?lang:lang
GET /data/2.5/forecast !lat:number !lon:number ?cnt:int
GET /data/3.0/onecall !lat:number !lon:number ?exclude:word
GET /geo/1.0/direct !q:word ?limit:int
GET /geo/1.0/reverse !lat:number !lon:number
GET /geo/1.0/zip !zip:code
GET /stations/{id:hex}
PUT,DELETE /stations/{id:hex}
GET /history/{city:word}/{day:date}
GET /air/{city:word}

# movies
GET /3/movie/{movie_id:int} ?language:lang
GET /3/movie/{movie_id:int}/credits
GET /3/movie/{movie_id:int}/images
GET /3/movie/{movie_id:int}/reviews ?page:int
GET /3/movie/popular ?page:int ?region:lang
GET /3/movie/top_rated ?page:int
GET /3/movie/now_playing ?page:int
GET /3/movie/upcoming ?page:int
GET /3/movie/latest
GET /3/tv/{series_id:int}
GET /3/tv/{series_id:int}/season/{season_number:small}
GET /3/tv/{series_id:int}/season/{season_number:small}/episode/{episode_number:small}
GET /3/person/{person_id:int}
GET /3/search/movie !query:word ?page:int
GET /3/search/tv !query:word ?page:int
GET /3/search/person !query:word ?page:int
GET /3/trending/{media_type:enum:movie|tv|person}/{time_window:enum:day|week}
GET /3/genre/movie/list
GET /3/genre/tv/list
GET /3/configuration
POST /3/authentication/session/new
GET,DELETE /3/list/{list_id:int}

# verbs
GET,POST /v1/projects/{project:dns}/locations/{location:region}/clusters ?pageSize:int
GET,PATCH,DELETE /v1/projects/{project:dns}/locations/{location:region}/clusters/{cluster:dns}
POST /v1/projects/{project:dns}/locations/{location:region}/clusters/{cluster:dns}:start
POST /v1/projects/{project:dns}/locations/{location:region}/clusters/{cluster:dns}:stop
POST /v1/projects/{project:dns}:setIamPolicy
POST /v1/projects/{project:dns}:getIamPolicy
GET /v1/projects/{project:dns}
GET /v1/projects
GET,POST /v1/projects/{project:dns}/topics
GET,PUT,DELETE /v1/projects/{project:dns}/topics/{topic:dns}
POST /v1/projects/{project:dns}/topics/{topic:dns}:publish
GET /v1/projects/{project:dns}/locations
GET /v1/projects/{project:dns}/locations/{location:region}

# encyclopedia
GET /api/rest_v1/page/summary/{title:title}
GET /api/rest_v1/page/html/{title:title}
GET /api/rest_v1/page/media-list/{title:title}
GET /api/rest_v1/page/related/{title:title}
GET /api/rest_v1/page/random/summary
GET /api/rest_v1/feed/featured/{yyyy:year}/{mm:month}/{dd:day}
GET /api/rest_v1/feed/onthisday/{type:enum:all|selected|births|deaths|events|holidays}/{mm:month}/{dd:day}
GET /api/rest_v1/data/lists/{list:int}
GET,POST /api/rest_v1/data/lists
`
