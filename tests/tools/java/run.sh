#!/usr/bin/env bash
# Java: pgjdbc's DatabaseMetaData, Flyway and Hibernate over a pool of connections.
source "$(dirname "$0")/../common.sh"
jars=$cache/java
tour() { java -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$TOOL_FOLDER/classes:$jars/*" Tour "$here/migrations" "$@"; }
compile() {
    mkdir -p "$TOOL_FOLDER/classes"
    javac -nowarn -proc:none -cp "$jars/*" -d "$TOOL_FOLDER/classes" "$here"/*.java
}
case $1 in
install) once java "$here/pom.xml" jars java "$here/pom.xml" ;;
fill)
    compile
    tour migrate:2
    ;;
tour)
    compile
    tour metadata info hibernate:validate hibernate:use info migrate:4 metadata hibernate:changed hibernate:validate_changed \
        failing migrate:latest info metadata hibernate:update finish
    ;;
esac
