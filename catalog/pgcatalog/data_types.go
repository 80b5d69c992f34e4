package pgcatalog

// typeRows are the rows of pg_type that Postgres has for our types, and for
// cstring and internal, which their input and output functions use. The fields:
// oid, typname, typlen, typbyval, typtype, typcategory, typispreferred, typelem,
// typarray, typsubscript, typinput, typoutput, typreceive, typsend, typmodin,
// typmodout, typanalyze, typalign, typstorage, typcollation.
const typeRows = `
16 bool 1 t b B t 0 1000 0 1242 1243 2436 2437 0 0 0 c p 0
17 bytea -1 f b U f 0 1001 0 1244 31 2412 2413 0 0 0 i x 0
18 char 1 t b Z f 0 1002 0 1245 33 2434 2435 0 0 0 c p 0
19 name 64 f b S f 18 1003 6180 34 35 2422 2423 0 0 0 c p 950
20 int8 8 t b N f 0 1016 0 460 461 2408 2409 0 0 0 d p 0
21 int2 2 t b N f 0 1005 0 38 39 2404 2405 0 0 0 s p 0
22 int2vector -1 f b A f 21 1006 6179 40 41 2410 2411 0 0 0 i p 0
23 int4 4 t b N f 0 1007 0 42 43 2406 2407 0 0 0 i p 0
24 regproc 4 t b N f 0 1008 0 44 45 2444 2445 0 0 0 i p 0
25 text -1 f b S t 0 1009 0 46 47 2414 2415 0 0 0 i x 100
26 oid 4 t b N t 0 1028 0 1798 1799 2418 2419 0 0 0 i p 0
30 oidvector -1 f b A f 26 1013 6179 54 55 2420 2421 0 0 0 i p 0
114 json -1 f b U f 0 199 0 321 322 323 324 0 0 0 i x 0
199 _json -1 f b A f 114 0 6179 750 751 2400 2401 0 0 3816 i x 0
700 float4 4 t b N f 0 1021 0 200 201 2424 2425 0 0 0 i p 0
701 float8 8 t b N t 0 1022 0 214 215 2426 2427 0 0 0 d p 0
705 unknown -2 f p X f 0 0 0 109 110 2416 2417 0 0 0 c p 0
1000 _bool -1 f b A f 16 0 6179 750 751 2400 2401 0 0 3816 i x 0
1001 _bytea -1 f b A f 17 0 6179 750 751 2400 2401 0 0 3816 i x 0
1002 _char -1 f b A f 18 0 6179 750 751 2400 2401 0 0 3816 i x 0
1003 _name -1 f b A f 19 0 6179 750 751 2400 2401 0 0 3816 i x 950
1005 _int2 -1 f b A f 21 0 6179 750 751 2400 2401 0 0 3816 i x 0
1006 _int2vector -1 f b A f 22 0 6179 750 751 2400 2401 0 0 3816 i x 0
1007 _int4 -1 f b A f 23 0 6179 750 751 2400 2401 0 0 3816 i x 0
1008 _regproc -1 f b A f 24 0 6179 750 751 2400 2401 0 0 3816 i x 0
1009 _text -1 f b A f 25 0 6179 750 751 2400 2401 0 0 3816 i x 100
1013 _oidvector -1 f b A f 30 0 6179 750 751 2400 2401 0 0 3816 i x 0
1014 _bpchar -1 f b A f 1042 0 6179 750 751 2400 2401 2913 2914 3816 i x 100
1015 _varchar -1 f b A f 1043 0 6179 750 751 2400 2401 2915 2916 3816 i x 100
1016 _int8 -1 f b A f 20 0 6179 750 751 2400 2401 0 0 3816 d x 0
1021 _float4 -1 f b A f 700 0 6179 750 751 2400 2401 0 0 3816 i x 0
1022 _float8 -1 f b A f 701 0 6179 750 751 2400 2401 0 0 3816 d x 0
1028 _oid -1 f b A f 26 0 6179 750 751 2400 2401 0 0 3816 i x 0
1042 bpchar -1 f b S f 0 1014 0 1044 1045 2430 2431 2913 2914 0 i x 100
1043 varchar -1 f b S f 0 1015 0 1046 1047 2432 2433 2915 2916 0 i x 100
1082 date 4 t b D f 0 1182 0 1084 1085 2468 2469 0 0 0 i p 0
1083 time 8 t b D f 0 1183 0 1143 1144 2470 2471 2909 2910 0 d p 0
1114 timestamp 8 t b D f 0 1115 0 1312 1313 2474 2475 2905 2906 0 d p 0
1115 _timestamp -1 f b A f 1114 0 6179 750 751 2400 2401 2905 2906 3816 d x 0
1182 _date -1 f b A f 1082 0 6179 750 751 2400 2401 0 0 3816 i x 0
1183 _time -1 f b A f 1083 0 6179 750 751 2400 2401 2909 2910 3816 d x 0
1184 timestamptz 8 t b D t 0 1185 0 1150 1151 2476 2477 2907 2908 0 d p 0
1185 _timestamptz -1 f b A f 1184 0 6179 750 751 2400 2401 2907 2908 3816 d x 0
1186 interval 16 f b T t 0 1187 0 1160 1161 2478 2479 2903 2904 0 d p 0
1187 _interval -1 f b A f 1186 0 6179 750 751 2400 2401 2903 2904 3816 d x 0
1231 _numeric -1 f b A f 1700 0 6179 750 751 2400 2401 2917 2918 3816 i x 0
1263 _cstring -1 f b A f 2275 0 6179 750 751 2400 2401 0 0 3816 i x 0
1700 numeric -1 f b N f 0 1231 0 1701 1702 2460 2461 2917 2918 0 i m 0
2202 regprocedure 4 t b N f 0 2207 0 2212 2213 2446 2447 0 0 0 i p 0
2205 regclass 4 t b N f 0 2210 0 2218 2219 2452 2453 0 0 0 i p 0
2206 regtype 4 t b N f 0 2211 0 2220 2221 2454 2455 0 0 0 i p 0
2207 _regprocedure -1 f b A f 2202 0 6179 750 751 2400 2401 0 0 3816 i x 0
2210 _regclass -1 f b A f 2205 0 6179 750 751 2400 2401 0 0 3816 i x 0
2211 _regtype -1 f b A f 2206 0 6179 750 751 2400 2401 0 0 3816 i x 0
2249 record -1 f p P f 0 2287 0 2290 2291 2402 2403 0 0 0 d x 0
2275 cstring -2 f p P f 0 1263 0 2292 2293 2500 2501 0 0 0 c p 0
2276 any 4 t p P f 0 0 0 2294 2295 0 0 0 0 0 i p 0
2277 anyarray -1 f p P f 0 0 0 2296 2297 2502 2503 0 0 0 d x 0
2278 void 4 t p P f 0 0 0 2298 2299 3120 3121 0 0 0 i p 0
2281 internal 8 t p P f 0 0 0 2304 2305 0 0 0 0 0 d p 0
2283 anyelement 4 t p P f 0 0 0 2312 2313 0 0 0 0 0 i p 0
2287 _record -1 f p P f 2249 0 6179 750 751 2400 2401 0 0 3816 d x 0
2950 uuid 16 f b U f 0 2951 0 2952 2953 2961 2962 0 0 0 c p 0
2951 _uuid -1 f b A f 2950 0 6179 750 751 2400 2401 0 0 3816 i x 0
3500 anyenum 4 t p P f 0 0 0 3504 3505 0 0 0 0 0 i p 0
3802 jsonb -1 f b U f 0 3807 6098 3806 3804 3805 3803 0 0 0 i x 0
3807 _jsonb -1 f b A f 3802 0 6179 750 751 2400 2401 0 0 3816 i x 0
4072 jsonpath -1 f b U f 0 4073 0 4001 4003 4002 4004 0 0 0 i x 0
4073 _jsonpath -1 f b A f 4072 0 6179 750 751 2400 2401 0 0 3816 i x 0
4089 regnamespace 4 t b N f 0 4090 0 4084 4085 4087 4088 0 0 0 i p 0
4090 _regnamespace -1 f b A f 4089 0 6179 750 751 2400 2401 0 0 3816 i x 0
`

// supportProcs are the functions that pg_type and pg_cast refer to: oid, proname,
// provolatile, proisstrict, proparallel, prorettype, proargtypes. Those that are
// built-in functions of the engine as well are taken from there.
const supportProcs = `
31 byteaout i t s 2275 17
33 charout i t s 2275 18
34 namein i t s 19 2275
35 nameout i t s 2275 19
38 int2in i t s 21 2275
39 int2out i t s 2275 21
40 int2vectorin i t s 22 2275
41 int2vectorout i t s 2275 22
42 int4in i t s 23 2275
43 int4out i t s 2275 23
44 regprocin s t s 24 2275
45 regprocout s t s 2275 24
46 textin i t s 25 2275
47 textout i t s 2275 25
54 oidvectorin i t s 30 2275
55 oidvectorout i t s 2275 30
77 int4 i t s 23 18
78 char i t s 18 23
109 unknownin i t s 705 2275
110 unknownout i t s 2275 705
200 float4in i t s 700 2275
201 float4out i t s 2275 700
214 float8in i t s 701 2275
215 float8out i t s 2275 701
235 float8 i t s 701 21
236 float4 i t s 700 21
237 int2 i t s 21 701
238 int2 i t s 21 700
311 float8 i t s 701 700
312 float4 i t s 700 701
313 int4 i t s 23 21
314 int2 i t s 21 23
316 float8 i t s 701 23
317 int4 i t s 23 701
318 float4 i t s 700 23
319 int4 i t s 23 700
321 json_in i t s 114 2275
322 json_out i t s 2275 114
323 json_recv i t s 114 2281
324 json_send i t s 17 114
401 text i t s 25 1042
406 text i t s 25 19
407 name i t s 19 25
408 bpchar i t s 1042 19
409 name i t s 19 1042
460 int8in i t s 20 2275
461 int8out i t s 2275 20
480 int4 i t s 23 20
481 int8 i t s 20 23
482 float8 i t s 701 20
483 int8 i t s 20 701
652 float4 i t s 700 20
653 int8 i t s 20 700
668 bpchar i t s 1042 1042 23 16
669 varchar i t s 1043 1043 23 16
714 int2 i t s 21 20
750 array_in s t s 2277 2275 26 23
751 array_out s t s 2275 2277
754 int8 i t s 20 21
860 bpchar i t s 1042 18
944 char i t s 18 25
946 text i t s 25 18
1044 bpcharin i t s 1042 2275 26 23
1045 bpcharout i t s 2275 1042
1046 varcharin i t s 1043 2275 26 23
1047 varcharout i t s 2275 1043
1079 regclass s t s 2205 25
1084 date_in s t s 1082 2275
1085 date_out s t s 2275 1082
1143 time_in s t s 1083 2275 26 23
1144 time_out i t s 2275 1083
1150 timestamptz_in s t s 1184 2275 26 23
1151 timestamptz_out s t s 2275 1184
1160 interval_in s t s 1186 2275 26 23
1161 interval_out s t s 2275 1186
1174 timestamptz s t s 1184 1082
1178 date s t s 1082 1184
1200 interval i t s 1186 1186 23
1242 boolin i t s 16 2275
1243 boolout i t s 2275 16
1244 byteain i t s 17 2275
1245 charin i t s 18 2275
1287 oid i t s 26 20
1288 int8 i t s 20 26
1312 timestamp_in s t s 1114 2275 26 23
1313 timestamp_out s t s 2275 1114
1316 time i t s 1083 1114
1370 interval i t s 1186 1083
1400 name i t s 19 1043
1401 varchar i t s 1043 19
1419 time i t s 1083 1186
1701 numeric_in i t s 1700 2275 26 23
1702 numeric_out i t s 2275 1700
1703 numeric i t s 1700 1700 23
1740 numeric i t s 1700 23
1742 numeric i t s 1700 700
1743 numeric i t s 1700 701
1744 int4 i t s 23 1700
1745 float4 i t s 700 1700
1746 float8 i t s 701 1700
1779 int8 i t s 20 1700
1781 numeric i t s 1700 20
1782 numeric i t s 1700 21
1783 int2 i t s 21 1700
1798 oidin i t s 26 2275
1799 oidout i t s 2275 26
1961 timestamp i t s 1114 1114 23
1967 timestamptz i t s 1184 1184 23
1968 time i t s 1083 1083 23
2019 time s t s 1083 1184
2024 timestamp i t s 1114 1082
2027 timestamp s t s 1114 1184
2028 timestamptz s t s 1184 1114
2029 date i t s 1082 1114
2212 regprocedurein s t s 2202 2275
2213 regprocedureout s t s 2275 2202
2218 regclassin s t s 2205 2275
2219 regclassout s t s 2275 2205
2220 regtypein s t s 2206 2275
2221 regtypeout s t s 2275 2206
2290 record_in s t s 2249 2275 26 23
2291 record_out s t s 2275 2249
2292 cstring_in i t s 2275 2275
2293 cstring_out i t s 2275 2275
2294 any_in i t s 2276 2275
2295 any_out i t s 2275 2276
2296 anyarray_in i t s 2277 2275
2297 anyarray_out s t s 2275 2277
2298 void_in i t s 2278 2275
2299 void_out i t s 2275 2278
2304 internal_in i f s 2281 2275
2305 internal_out i t s 2275 2281
2312 anyelement_in i t s 2283 2275
2313 anyelement_out i t s 2275 2283
3504 anyenum_in i t s 3500 2275
3505 anyenum_out s t s 2275 3500
3506 enum_in s t s 3500 2275 26
3507 enum_out s t s 2275 3500
3532 enum_recv s t s 3500 2281 26
3533 enum_send s t s 17 3500
2400 array_recv s t s 2277 2281 26 23
2401 array_send s t s 17 2277
2402 record_recv s t s 2249 2281 26 23
2403 record_send s t s 17 2249
2404 int2recv i t s 21 2281
2405 int2send i t s 17 21
2406 int4recv i t s 23 2281
2407 int4send i t s 17 23
2408 int8recv i t s 20 2281
2409 int8send i t s 17 20
2410 int2vectorrecv i t s 22 2281
2411 int2vectorsend i t s 17 22
2412 bytearecv i t s 17 2281
2413 byteasend i t s 17 17
2414 textrecv s t s 25 2281
2415 textsend s t s 17 25
2416 unknownrecv i t s 705 2281
2417 unknownsend i t s 17 705
2418 oidrecv i t s 26 2281
2419 oidsend i t s 17 26
2420 oidvectorrecv i t s 30 2281
2421 oidvectorsend i t s 17 30
2422 namerecv s t s 19 2281
2423 namesend s t s 17 19
2424 float4recv i t s 700 2281
2425 float4send i t s 17 700
2426 float8recv i t s 701 2281
2427 float8send i t s 17 701
2430 bpcharrecv s t s 1042 2281 26 23
2431 bpcharsend s t s 17 1042
2432 varcharrecv s t s 1043 2281 26 23
2433 varcharsend s t s 17 1043
2434 charrecv i t s 18 2281
2435 charsend i t s 17 18
2436 boolrecv i t s 16 2281
2437 boolsend i t s 17 16
2444 regprocrecv i t s 24 2281
2445 regprocsend i t s 17 24
2446 regprocedurerecv i t s 2202 2281
2447 regproceduresend i t s 17 2202
2452 regclassrecv i t s 2205 2281
2453 regclasssend i t s 17 2205
2454 regtyperecv i t s 2206 2281
2455 regtypesend i t s 17 2206
2460 numeric_recv i t s 1700 2281 26 23
2461 numeric_send i t s 17 1700
2468 date_recv i t s 1082 2281
2469 date_send i t s 17 1082
2470 time_recv i t s 1083 2281 26 23
2471 time_send i t s 17 1083
2474 timestamp_recv i t s 1114 2281 26 23
2475 timestamp_send i t s 17 1114
2476 timestamptz_recv i t s 1184 2281 26 23
2477 timestamptz_send i t s 17 1184
2478 interval_recv i t s 1186 2281 26 23
2479 interval_send i t s 17 1186
2500 cstring_recv s t s 2275 2281
2501 cstring_send s t s 17 2275
2502 anyarray_recv s t s 2277 2281
2503 anyarray_send s t s 17 2277
2557 bool i t s 16 23
2558 int4 i t s 23 16
2580 float8 i t s 701 3802
2903 intervaltypmodin i t s 23 1263
2904 intervaltypmodout i t s 2275 23
2905 timestamptypmodin i t s 23 1263
2906 timestamptypmodout i t s 2275 23
2907 timestamptztypmodin i t s 23 1263
2908 timestamptztypmodout i t s 2275 23
2909 timetypmodin i t s 23 1263
2910 timetypmodout i t s 2275 23
2913 bpchartypmodin i t s 23 1263
2914 bpchartypmodout i t s 2275 23
2915 varchartypmodin i t s 23 1263
2916 varchartypmodout i t s 2275 23
2917 numerictypmodin i t s 23 1263
2918 numerictypmodout i t s 2275 23
2952 uuid_in i t s 2950 2275
2953 uuid_out i t s 2275 2950
2961 uuid_recv i t s 2950 2281
2962 uuid_send i t s 17 2950
2971 text i t s 25 16
3120 void_recv i t s 2278 2281
3121 void_send i t s 17 2278
3449 numeric i t s 1700 3802
3450 int2 i t s 21 3802
3451 int4 i t s 23 3802
3452 int8 i t s 20 3802
3453 float4 i t s 700 3802
3556 bool i t s 16 3802
3803 jsonb_send i t s 17 3802
3804 jsonb_out i t s 2275 3802
3805 jsonb_recv i t s 3802 2281
3806 jsonb_in i t s 3802 2275
3816 array_typanalyze s t s 16 2281
4001 jsonpath_in i t s 4072 2275
4002 jsonpath_recv i t s 4072 2281
4003 jsonpath_out i t s 2275 4072
4004 jsonpath_send i t s 17 4072
4084 regnamespacein s t s 4089 2275
4085 regnamespaceout s t s 2275 4089
4087 regnamespacerecv i t s 4089 2281
4088 regnamespacesend i t s 17 4089
6098 jsonb_subscript_handler i t s 2281 2281
6179 array_subscript_handler i t s 2281 2281
6180 raw_array_subscript_handler i t s 2281 2281
`
