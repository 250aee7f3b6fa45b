"""The classes of COCO, as two libraries number them."""

from __future__ import annotations

from segserve.core.label_map import UNUSED_LABEL

_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,N/A,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,N/A,"
    "backpack,umbrella,N/A,N/A,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,N/A,wine glass,cup,fork,"
    "knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,"
    "couch,potted plant,bed,N/A,dining table,N/A,N/A,toilet,N/A,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,N/A,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)

COCO_91 = ("background", *_NAMES.split(","))
"""By COCO's own category id, 0 for the background: torchvision's labels. Gaps are 'N/A'."""

COCO_80 = tuple(name for name in COCO_91[1:] if name != UNUSED_LABEL)
"""Without background and gaps: the labels of detectron2, mmdetection and YOLACT."""

_STUFF = (
    "things,banner,blanket,bridge,cardboard,counter,curtain,door-stuff,floor-wood,flower,fruit,"
    "gravel,house,light,mirror-stuff,net,pillow,platform,playingfield,railroad,river,road,roof,"
    "sand,sea,shelf,snow,stairs,tent,towel,wall-brick,wall-stone,wall-tile,wall-wood,water-other,"
    "window-blind,window-other,tree-merged,fence-merged,ceiling-merged,sky-other-merged,"
    "cabinet-merged,table-merged,floor-other-merged,pavement-merged,mountain-merged,grass-merged,"
    "dirt-merged,paper-merged,food-other-merged,building-other-merged,rock-merged,"
    "wall-other-merged,rug-merged"
)

COCO_STUFF_54 = tuple(_STUFF.split(","))
"""detectron2's classes of its panoptic models' semantic head; 0 is every thing."""
