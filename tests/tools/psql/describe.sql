\set ON_ERROR_STOP off
\d
\d+
\dS pg_cl*
\dt
\dt+
\dt *.*users*
\dv
\dv+
\dm
\di
\di+
\ds
\ds+
\dE
\df
\df+
\dfa
\dft
\da
\dn
\dn+
\dp
\z billing.*
\ddp
\l :DBNAME
\dT
\dT+
\dD
\dD+
\dx
\dx+
\dd
\dL
\dP
\dP+
\dPi
\dRp
\dRs
\des
\det
\deu app
\dew
\dy
\dX
\dC mood
\dO
\dF simple
\du app
\drds app
\dconfig search_path
\dA
\dAf gist int4
\sv active_users
\sv+ rich_users
\d nothing
