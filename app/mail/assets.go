package mail

import (
	"embed"

	"kith.alt/kith/ui"
)

//go:embed assets
var assetFiles embed.FS

// assets are served below the screens, to who is signed in.
var assets = ui.NewFolder(assetFiles, "assets", screenPath+"-/")
