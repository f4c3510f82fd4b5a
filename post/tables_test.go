package post

import "os"

var echoTables = os.DirFS("testdata/echo")
