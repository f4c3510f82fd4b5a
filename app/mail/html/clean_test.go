package html

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var cleaner = New(func(to string) string { return "/write?to=" + url.QueryEscape(to) })

const pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="

func picture(id string) (string, bool) { return pixel, id == "logo@oak" }

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"words", `<p>Hello <b>you</b> &amp; me</p>`, `<p>Hello <b>you</b> &amp; me</p>`},
		{"script", `a<script>alert(1)</script>b<script src=//x>`, `ab`},
		{"handlers", `<p onclick="x()" onmouseover=y>a</p>`, `<p>a</p>`},
		{"style sheet", `<style>body{display:none}</style><p>a</p>`, `<p>a</p>`},
		{"svg", `<svg><script>x</script><a href="https://x">y</a></svg>z`, `z`},
		{"mathml", `<math><mi xlink:href="javascript:x">y</mi></math>z`, `z`},
		{"head", `<!doctype html><html><head><title>no</title><meta http-equiv=refresh content="0;url=//x"><base href=//x><link rel=stylesheet href=//x></head><body>a</body></html>`, `a`},
		{"form", `<form action="https://x"><input name=p type=password><button>Sign in</button><textarea>t</textarea></form>`, `Sign int`},
		{"frames", `<iframe src="https://x">inner</iframe><object data=x>o</object><embed src=x>z`, ``},
		{"link", `<a href="https://oak.example/?a=1&b=2" target=_top onclick=x>y</a>`, `<a href="https://oak.example/?a=1&amp;b=2" rel="noreferrer noopener" target="_blank">y</a>`},
		{"mailto", `<a href="mailto:bob@oak">y</a>`, `<a href="/write?to=bob%40oak" target="_blank" rel="noopener">y</a>`},
		{"schemes", `<a href="javascript:x">1</a><a href=" jAvascript:x">2</a><a href="data:text/html,x">3</a><a href="vbscript:x">4</a><a href="/settings">5</a><a href="cid:logo@oak">6</a>`, `<a>1</a><a>2</a><a>3</a><a>4</a><a>5</a><a rel="noreferrer">6</a>`},
		{"picture within", `<img src="cid:logo@oak" width=1 onerror=x>`, `<img width="1" src="` + pixel + `">`},
		{"picture of another", `<img src="cid:other" alt="a <b>">`, `[a &lt;b&gt;]`},
		{"pasted picture", `<img src="` + pixel + `">`, `<img src="` + pixel + `">`},
		{"pasted page", `<img src="data:text/html;base64,R0lG"><img src="data:image/svg+xml;base64,R0lG">`, ``},
		{"remote picture", `<img src="https://spy/1.gif" alt="Spring"><img srcset="https://spy/2.gif 2x"><table background="https://spy/3"><tr><td>x`, `[Spring]<table><tr><td>x</td></tr></table>`},
		{"styles", `<p style="color:red;position:fixed;background:url(//x);font-size:20px;behavior:url(x)">a</p>`, `<p style="color: red; font-size: 20px">a</p>`},
		{"escapes", `<p style="background:\75rl(//x)">a</p><p style="width:expression(alert(1))">b</p><p style="color:re\64">c</p><p style="@import '//x'">d</p>`, `<p>a</p><p>b</p><p>c</p><p>d</p>`},
		{"unclosed", `<div><p><b>a</i>`, `<div><p><b>a</b></p></div>`},
		{"crossed", `<b><i>a</b>b</i>`, `<b><i>a</i></b>b`},
		{"comments", `a<!-- b --><!--[if mso]><p>x</p><![endif]-->c`, `ac`},
	} {
		got := cleaner.Clean(c.source, picture)
		if got.Body != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got.Body, c.want)
		}
		safe(t, got.Body)
	}
}

func TestCounts(t *testing.T) {
	c := cleaner.Clean(`<p>a</p><img src="http://x/1"><img src="https://x/2"><img src="cid:none">`, picture)
	if c.Blocked != 2 || c.Missing != 1 || !c.Plain || c.Cut {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(Document(c, Dark), "color-scheme:dark") {
		t.Error("it is not dark")
	}
	c = cleaner.Clean(`<td bgcolor=#ffffff style="color: red">`+strings.Repeat("x", MaxInput), picture)
	if c.Plain || !c.Cut || !strings.Contains(Document(c, Dark), "color-scheme:light;") {
		t.Errorf("plain %v, cut %v", c.Plain, c.Cut)
	}
}

// What is made to be much is still answered at once.
func TestMuch(t *testing.T) {
	for name, source := range map[string]string{
		"nested":    strings.Repeat("<div>", 10_000) + "deep" + strings.Repeat("</div>", 10_000),
		"unmatched": strings.Repeat("<b>", 100_000) + strings.Repeat("</i>", 100_000),
		"tables":    strings.Repeat("<table><tr><td>", 20_000),
		"cells":     "<table>" + strings.Repeat("<td>x", 100_000),
		"entities":  strings.Repeat("&amp;&#x3c;", 50_000),
		"style":     `<p style="` + strings.Repeat("color:red;", 20_000) + `">a</p>`,
		"border":    `<p style="border:` + strings.Repeat("1px ", 20_000) + `">a</p>`,
		"attribute": `<p ` + strings.Repeat("a=b ", 50_000) + `>a</p>`,
		"open":      strings.Repeat("<", 200_000),
		"quotes":    `<p title="` + strings.Repeat(`'`, 200_000),
		"binary":    strings.Repeat("\x00\xff\xfe", 50_000),
	} {
		c := cleaner.Clean(source, picture)
		safe(t, c.Body)
		if name == "nested" && !strings.Contains(c.Body, "deep") {
			t.Error("the words are gone")
		}
	}
}

// safe reads a result as a browser does, and holds everything in it against the lists.
func safe(t *testing.T, body string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader("<!doctype html><html><head></head><body>" + body + "</body></html>"))
	if err != nil {
		t.Fatalf("%v: %.200q", err, body)
	}
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode, html.DoctypeNode:
		case html.ElementNode:
			if !slices.Contains(elements, n.Data) && !slices.Contains([]string{"html", "head", "body"}, n.Data) || n.Namespace != "" {
				t.Errorf("element %s %s in %.300q", n.Namespace, n.Data, body)
			}
			for _, a := range n.Attr {
				if !allowed(n.Data, a) {
					t.Errorf("attribute %s of %s is %.200q", a.Key, n.Data, a.Val)
				}
			}
		default:
			t.Errorf("a node of type %d in %.300q", n.Type, body)
		}
	}
}

func allowed(element string, a html.Attribute) bool {
	switch {
	case a.Namespace != "":
		return false
	case a.Key == "style":
		value := strings.ToLower(a.Val)
		for _, bad := range []string{"url", "expression", "position", "behavior", "@import", "\\", "/*", "fixed", "javascript", "var("} {
			if strings.Contains(value, bad) && !strings.Contains(value, "font-family") {
				return false
			}
		}
		for declaration := range strings.SplitSeq(value, ";") {
			name, _, _ := strings.Cut(declaration, ":")
			known := strings.TrimSpace(declaration) == ""
			for _, s := range styles {
				for _, allowed := range s.names {
					known = known || strings.HasSuffix(strings.TrimSpace(name), allowed)
				}
			}
			if !known {
				return false
			}
		}
		return true
	case element == "a" && a.Key == "href":
		u, err := url.Parse(a.Val)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https" || strings.HasPrefix(a.Val, "/write?to="))
	case element == "a" && a.Key == "rel", element == "a" && a.Key == "target" && a.Val == "_blank":
		return true
	case element == "img" && a.Key == "src":
		return strings.HasPrefix(a.Val, "data:image/") && !strings.Contains(a.Val, "svg")
	}
	for _, group := range attributes {
		if slices.Contains(group.names, a.Key) && (group.elements == nil || slices.Contains(group.elements, element)) {
			return group.value.MatchString(a.Val)
		}
	}
	return false
}

func FuzzHTML(f *testing.F) {
	for _, seed := range []string{
		`<p>Hello <b>you</b></p>`, `<a href="javascript:x">`, `<svg><style><img src=x onerror=y></style>`, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=x&gt;">`,
		`<noscript><p title="</noscript><img src=x onerror=y>">`, `<p style="width:\65xpression(x);background:url(javascript:y)">`, `<form><form></form><input>`, `<img src="cid:logo@oak">`,
		`<table><td><a href=//x><select><option><style></select></style>`, "<img src=\"data:image/png;base64,AAAA\nBBBB\">", `<title><a href="</title><script>x</script>">`, `<b><i></b></i><frame><plaintext>`,
		`<xmp><p title="</xmp><script>x</script>">`, `<p style='font-family:"a;b"'>`, `<a href="https://x" style="color:red!important">`, `<textarea><script>x</script>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		c := cleaner.Clean(source, picture)
		safe(t, c.Body)
		if again := cleaner.Clean(c.Body, picture); again.Blocked+again.Missing > 0 {
			t.Errorf("%q still has pictures to load: %+v", c.Body, again)
		}
	})
}
